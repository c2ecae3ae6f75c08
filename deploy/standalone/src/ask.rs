//! `eddyline recommend` and `eddyline similar`: a question to a running server.

use serde_json::Value;

use crate::client::{ClientArgs, encode};
use crate::exit::Outcome;
use crate::output::{Format, print_json, print_json_line, print_table};

/// Flags of `recommend`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RecommendArgs {
    /// The user's id
    #[arg(value_name = "USER")]
    pub(crate) user: String,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub num_results: u32,
    /// Where the answer would be shown
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// How the answer is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Flags of `similar`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SimilarArgs {
    /// The item's id
    #[arg(value_name = "ITEM")]
    pub item: String,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub num_results: u32,
    /// How the answer is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Runs `recommend`.
pub(crate) fn recommend(args: &RecommendArgs) -> Outcome {
    let mut path = format!(
        "/v1/recommendations?user_id={}&num_results={}&attributes=title",
        encode(&args.user),
        args.num_results
    );
    if let Some(context) = &args.context {
        path.push_str(&format!("&context={}", encode(context)));
    }
    print_items(&args.client.client().get(&path)?, args.output)
}

/// Runs `similar`.
pub(crate) fn similar(args: &SimilarArgs) -> Outcome {
    let item = encode(&args.item);
    let path = format!("/v1/items/{item}/similar?num_results={}", args.num_results);
    print_items(&args.client.client().get(&path)?, args.output)
}

fn print_items(answer: &Value, format: Format) -> Outcome {
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    match format {
        Format::Json => return print_json(answer),
        Format::Ndjson => return items.iter().try_for_each(print_json_line),
        Format::Table => {}
    }
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    print_table(&["rank", "item", "score", "title", "sources", "reason"], &rows)?;
    if let Some(tier) = answer["fallback"]["tier"].as_str() {
        let reason = answer["fallback"]["reason"].as_str().unwrap_or("unknown");
        eprintln!("fallback: {tier} ({reason})");
    }
    Ok(())
}

fn row(item: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let sources = item["sources"].as_array().into_iter().flatten();
    let sources: Vec<&str> = sources.filter_map(Value::as_str).collect();
    vec![
        item["rank"].to_string(),
        text(&item["item_id"]),
        item["score"].as_f64().map_or_else(String::new, |score| format!("{score:.4}")),
        text(&item["attributes"]["title"]),
        sources.join(","),
        text(&item["explanations"][0]["text"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_what_the_answer_says() {
        let item = serde_json::json!({"rank": 1, "item_id": "sku-1", "score": 0.25,
            "sources": ["collaborative", "trending"], "attributes": {"title": "A mug"},
            "explanations": [{"text": "Because you viewed a kettle"}]});
        let want = [
            "1",
            "sku-1",
            "0.2500",
            "A mug",
            "collaborative,trending",
            "Because you viewed a kettle",
        ];
        assert_eq!(row(&item), want);
        assert_eq!(row(&serde_json::json!({"rank": 2, "item_id": "x"}))[1], "x");
    }
}
