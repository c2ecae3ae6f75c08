//! The words that the simulated shop's catalogue is made of. All brands are invented.

/// A department of the shop.
pub(crate) struct Department {
    /// Category, `A > B`.
    pub category: &'static str,
    /// What is sold.
    pub nouns: [&'static str; 6],
    /// What goes before the noun.
    pub kinds: [&'static str; 5],
    /// Who makes it.
    pub brands: [&'static str; 4],
    /// Cheapest and dearest, in EUR.
    pub price: (f64, f64),
    /// Number of the department whose goods go well with these.
    pub goes_with: usize,
}

/// Styles cut across departments: an item has one, a shopper favours one.
pub(crate) const STYLES: [&str; 6] =
    ["classic", "eco", "premium", "compact", "colourful", "rugged"];

/// Words of a style, for titles.
pub(crate) const STYLE_WORDS: [[&str; 3]; 6] = [
    ["Classic", "Heritage", "Everyday"],
    ["Eco", "Recycled", "Natural"],
    ["Premium", "Signature", "Pro"],
    ["Compact", "Mini", "Travel"],
    ["Rainbow", "Bold", "Pop"],
    ["Rugged", "Trail", "Heavy-Duty"],
];

macro_rules! department {
    ($category:literal, $nouns:expr, $kinds:expr, $brands:expr, $low:literal..$high:literal, $with:literal) => {
        Department {
            category: $category,
            nouns: $nouns,
            kinds: $kinds,
            brands: $brands,
            price: ($low, $high),
            goes_with: $with,
        }
    };
}

/// All departments; a number in `goes_with` is a place in this list.
pub(crate) const DEPARTMENTS: [Department; 20] = [
    department!(
        "Electronics > Audio",
        ["Headphones", "Earbuds", "Speaker", "Soundbar", "Turntable", "Microphone"],
        ["Wireless", "Noise-Cancelling", "Hi-Fi", "Bluetooth", "Studio"],
        ["Sonavo", "Klangwerk", "Audiara", "Basslet"],
        19.0..399.0,
        2
    ),
    department!(
        "Electronics > Cameras",
        ["Mirrorless Camera", "Action Camera", "Lens", "Tripod", "Camera Strap", "Flash"],
        ["4K", "Full-Frame", "Waterproof", "35 mm", "Carbon"],
        ["Optivia", "Lumenar", "Fokus9", "Shutterly"],
        29.0..1499.0,
        15
    ),
    department!(
        "Electronics > Computing",
        ["Keyboard", "Mouse", "Monitor", "USB-C Hub", "Laptop Stand", "Webcam"],
        ["Mechanical", "Ergonomic", "27-inch", "Silent", "Aluminium"],
        ["Keyora", "Nordbit", "Pixelane", "Tactik"],
        15.0..549.0,
        3
    ),
    department!(
        "Electronics > Gaming",
        ["Controller", "Headset", "Gaming Chair", "Racing Wheel", "Console Dock", "Mouse Pad"],
        ["RGB", "Tournament", "Low-Latency", "Cross-Platform", "XL"],
        ["Raidbox", "Questra", "Pwnt", "Arcadio"],
        12.0..429.0,
        2
    ),
    department!(
        "Home > Kitchen",
        ["Chef's Knife", "Frying Pan", "Stock Pot", "Cutting Board", "Mixing Bowl", "Grater"],
        ["Cast-Iron", "Non-Stick", "Bamboo", "Stainless", "Forged"],
        ["Kochella", "Pan & Co", "Brasa", "Mirepoix"],
        9.0..229.0,
        5
    ),
    department!(
        "Home > Coffee & Tea",
        ["Espresso Machine", "Grinder", "Teapot", "French Press", "Kettle", "Mug Set"],
        ["Gooseneck", "Burr", "Double-Wall", "Ceramic", "Pour-Over"],
        ["Caffetto", "Steepwell", "Crema", "Moccavia"],
        11.0..649.0,
        4
    ),
    department!(
        "Home > Bedroom",
        ["Duvet", "Pillow", "Bed Linen", "Blanket", "Night Lamp", "Mattress Topper"],
        ["Linen", "Down", "Weighted", "Satin", "Cotton"],
        ["Slumbra", "Dunewell", "Nachtig", "Featherlin"],
        15.0..299.0,
        7
    ),
    department!(
        "Home > Decor",
        ["Vase", "Rug", "Wall Clock", "Candle", "Picture Frame", "Cushion"],
        ["Handmade", "Scandinavian", "Woven", "Scented", "Oak"],
        ["Hygga", "Casa Lina", "Stillwood", "Ornato"],
        8.0..249.0,
        6
    ),
    department!(
        "Garden > Plants",
        ["Monstera", "Olive Tree", "Herb Set", "Succulent Trio", "Orchid", "Fern"],
        ["Potted", "Pet-Safe", "Indoor", "Low-Light", "Tall"],
        ["Greenly", "Botanika", "Rootline", "Leafology"],
        7.0..119.0,
        9
    ),
    department!(
        "Garden > Tools",
        ["Secateurs", "Watering Can", "Raised Bed", "Hand Trowel", "Hose Reel", "Planter"],
        ["Bypass", "Galvanised", "Cedar", "Telescopic", "Self-Watering"],
        ["Spatenhof", "Growell", "Terracorp", "Hortus"],
        9.0..189.0,
        8
    ),
    department!(
        "Fashion > Shoes",
        ["Sneakers", "Hiking Boots", "Loafers", "Sandals", "Running Shoes", "Chelsea Boots"],
        ["Leather", "Vegan", "Cushioned", "Waterproof", "Suede"],
        ["Stridor", "Pasos", "Velo Shoe", "Walkwell"],
        29.0..259.0,
        11
    ),
    department!(
        "Fashion > Outerwear",
        ["Rain Jacket", "Parka", "Fleece", "Wool Coat", "Windbreaker", "Down Vest"],
        ["Packable", "Insulated", "Hooded", "Merino", "Three-Layer"],
        ["Fjellvik", "Nimbus", "Outerra", "Stormline"],
        39.0..449.0,
        10
    ),
    department!(
        "Fashion > Accessories",
        ["Watch", "Sunglasses", "Belt", "Scarf", "Beanie", "Wallet"],
        ["Polarised", "Automatic", "Cashmere", "Slim", "Leather"],
        ["Tempora", "Sol & Sea", "Buckler", "Loomis"],
        12.0..349.0,
        11
    ),
    department!(
        "Sports > Running",
        ["Running Shorts", "GPS Watch", "Hydration Vest", "Foam Roller", "Tights", "Headlamp"],
        ["Breathable", "Ultralight", "Reflective", "Seamless", "Marathon"],
        ["Pacer", "Enduro", "Kilometra", "Swiftly"],
        14.0..379.0,
        10
    ),
    department!(
        "Sports > Cycling",
        ["Helmet", "Bike Light", "Saddle", "Pannier", "Floor Pump", "Jersey"],
        ["Aero", "Commuter", "Gravel", "MIPS", "Tubeless"],
        ["Velora", "Kettenwerk", "Spokely", "Col du Nord"],
        12.0..299.0,
        13
    ),
    department!(
        "Outdoor > Camping",
        ["Tent", "Sleeping Bag", "Camping Stove", "Backpack", "Lantern", "Hammock"],
        ["Two-Person", "Four-Season", "Gas", "40-Litre", "Inflatable"],
        ["Basecamp", "Wildhut", "Northface Hut", "Lagerfeuer"],
        19.0..599.0,
        11
    ),
    department!(
        "Books > Cooking",
        [
            "Cookbook",
            "Baking Guide",
            "Pasta Handbook",
            "Spice Atlas",
            "Bread Book",
            "Tapas Recipes"
        ],
        ["Illustrated", "Beginner's", "Weeknight", "Vegetarian", "Seasonal"],
        ["Leaf Press", "Table & Ink", "Savour House", "Papyra"],
        9.0..59.0,
        4
    ),
    department!(
        "Books > Science Fiction",
        [
            "Space Opera",
            "Time-Travel Novel",
            "Robot Stories",
            "Dystopia",
            "Cyberpunk Novel",
            "First-Contact Saga"
        ],
        ["Award-Winning", "Collected", "Hardcover", "New", "Annotated"],
        ["Orbit Lane", "Far Press", "Nebulon", "Ansible House"],
        7.0..45.0,
        3
    ),
    department!(
        "Toys > Building",
        ["Brick Set", "Marble Run", "Wooden Train", "Robot Kit", "Puzzle", "Model Ship"],
        ["1000-Piece", "Starter", "Magnetic", "Motorised", "Glow-in-the-Dark"],
        ["Klotzo", "Brickara", "Tinkerly", "Holzspiel"],
        9.0..199.0,
        19
    ),
    department!(
        "Toys > Board Games",
        ["Strategy Game", "Party Game", "Card Game", "Co-op Game", "Dice Game", "Quiz Game"],
        ["Two-Player", "Family", "Expert", "Travel-Size", "Anniversary"],
        ["Meeplehaus", "Dicecraft", "Tabletop Union", "Spielwerk"],
        9.0..99.0,
        18
    ),
];
