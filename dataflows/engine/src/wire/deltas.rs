//! Wire forms of deltas and of the documents in them.

use std::sync::Arc;

use eddyline_schemas::delta::Delta;
use eddyline_schemas::features::{
    CovisitationList, DecayedSum, ItemPopularity, SessionContext, UserFeatures, UserPreferences,
};
use eddyline_schemas::id::{ItemId, ItemRef, UserId};

use super::{Input, Malformed, Out, Wire, wire_struct};

wire_struct!(DecayedSum { mantissa, exponent });
wire_struct!(ItemPopularity { short, long, events });
wire_struct!(CovisitationList { neighbours, total, exponent });
wire_struct!(UserPreferences { categories, brands });
wire_struct!(SessionContext {
    session_id,
    session_start,
    last_event,
    page_views_in_session,
    current_category,
});
wire_struct!(UserFeatures {
    recent_views,
    history,
    history_length,
    seen,
    disliked,
    recent_searches,
    session,
    demographics,
    price_range,
    last_updated,
    expires_at,
});

/// The number of its kind, then its members.
impl Wire for Delta {
    fn put(&self, out: &mut impl Out) {
        self.kind().put(out);
        match self {
            Self::Item { item, id, document, first_seen, deleted } => {
                item.put(out);
                id.put(out);
                document.put(out);
                first_seen.put(out);
                deleted.put(out);
            }
            Self::ItemVector { item, vector } => put_both(item, vector, out),
            Self::ItemContext { item, context } => put_both(item, context, out),
            Self::Popularity { item, popularity } => put_both(item, popularity, out),
            Self::Covisitation { item, list } => put_both(item, list, out),
            Self::UserVector { user, vector } => put_both(user, vector, out),
            Self::UserFeatures { user, features } => put_both(user, features, out),
            Self::UserPreferences { user, preferences } => put_both(user, preferences, out),
            Self::Gate { values } => values.put(out),
        }
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        Ok(match u8::take(from)? {
            1 => Self::Item {
                item: Wire::take(from)?,
                id: ItemId::take(from)?,
                document: Wire::take(from)?,
                first_seen: Wire::take(from)?,
                deleted: Wire::take(from)?,
            },
            2 => Self::ItemVector { item: ItemRef::take(from)?, vector: Wire::take(from)? },
            3 => Self::ItemContext { item: ItemRef::take(from)?, context: Wire::take(from)? },
            4 => Self::Popularity { item: ItemRef::take(from)?, popularity: Wire::take(from)? },
            5 => Self::Covisitation { item: ItemRef::take(from)?, list: Wire::take(from)? },
            6 => Self::UserVector { user: UserId::take(from)?, vector: Wire::take(from)? },
            7 => Self::UserFeatures { user: UserId::take(from)?, features: Wire::take(from)? },
            8 => Self::UserPreferences { user: UserId::take(from)?, preferences: Arc::take(from)? },
            9 => Self::Gate { values: Wire::take(from)? },
            _ => return Err(Malformed("a delta")),
        })
    }
}

fn put_both(key: &impl Wire, value: &impl Wire, out: &mut impl Out) {
    key.put(out);
    value.put(out);
}
