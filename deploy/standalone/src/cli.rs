//! The command line: verbs, flags, help. What a verb does lives in the module of its name.

use clap::{Parser, Subcommand};

use crate::archive::ArchiveArgs;
use crate::ask::{RecommendArgs, SimilarArgs};
use crate::bench::BenchVerb;
use crate::config::ConfigArgs;
use crate::config::verbs::ConfigVerb;
use crate::demo::DemoArgs;
use crate::digest::DigestArgs;
use crate::dlq::DlqVerb;
use crate::evaluate::EvaluateArgs;
use crate::ingest::IngestArgs;
use crate::lineage::LineageVerb;
use crate::replay::ReplayVerb;
use crate::replay::snapshot::SnapshotVerb;
use crate::roles::{DataflowArgs, RoleArgs};
use crate::up::UpArgs;
use crate::user::UserVerb;

/// A real-time recommender that learns from the stream itself.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "eddyline",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 ok, 1 failure, 2 usage, 3 verify mismatch, 65 bad data, \
                  69 unavailable, 70 bug, 74 I/O, 78 configuration.",
    after_long_help = "Examples:
  eddyline demo                                  a simulated shop, live, in the browser
  eddyline up                                    everything in one process, data in ./eddyline-data
  eddyline ingest events.csv --map user_id=1,item_id=2,timestamp=3,event_type=:view
  eddyline recommend u42
  eddyline evaluate --dataset movietweetings --path DIR --json

Exit codes: 0 ok, 1 failure, 2 usage, 3 verify mismatch, 65 bad data, 69 unavailable, 70 bug,
74 I/O, 78 configuration."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// What is logged on stderr: error, warn, info, debug, or per target
    #[arg(
        long,
        value_name = "FILTER",
        env = "EDDYLINE_LOG_FILTER",
        default_value = "warn,eddyline=info",
        global = true
    )]
    pub log_filter: String,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run everything in one process and keep the data
    #[command(after_long_help = "Examples:
  eddyline up
  eddyline up --data /srv/shop --listen 127.0.0.1:9000 --workers 2
  EDDYLINE__SERVER__API_KEY_FILE=key.txt eddyline up --listen 0.0.0.0:8080")]
    Up(UpArgs),
    /// Run the dataflow of a fleet: fold the shared log and publish what each epoch changed
    #[command(after_long_help = "Examples:
  eddyline dataflow --log-url kafka://broker:9092 --listen 127.0.0.1:9001 --workers 2
  # two processes as one, each of which is started again when the other is lost
  eddyline dataflow --log-url kafka://broker:9092 --listen 127.0.0.1:9001 \\
      --processes 2 --process 0 --hosts 127.0.0.1:7000,127.0.0.1:7001 --supervise
  eddyline dataflow --log-url kafka://broker:9092 \\
      --processes 2 --process 1 --hosts 127.0.0.1:7000,127.0.0.1:7001 --supervise")]
    Dataflow(DataflowArgs),
    /// Run a serving replica of a fleet: take events, follow the dataflow, answer
    #[command(after_long_help = "Examples:
  eddyline serve --log-url kafka://broker:9092 --listen 127.0.0.1:9002
  curl localhost:9002/readyz")]
    Serve(RoleArgs),
    /// Run everything in one process and stream a simulated shop through it
    #[command(after_long_help = "Examples:
  eddyline demo
  eddyline demo --listen 127.0.0.1:0 --rate 500 --seed 7")]
    Demo(DemoArgs),
    /// Send files of events and catalogue rows to a running server
    #[command(after_long_help = "Examples:
  eddyline ingest --dataset movietweetings --path DIR
  eddyline ingest ratings.dat --delimiter '::' \\
      --map user_id=1,item_id=2,rating=3,timestamp=4,event_type=:rate \\
      --items movies.dat --items-map item_id=1,title=2,category=3
  eddyline ingest events.csv --map user_id=visitor,item_id=sku,event_type=kind,timestamp=at
  zcat events.jsonl.gz | eddyline ingest - --delimiter json --shift-time-to-now
  eddyline ingest events.csv --dry-run")]
    Ingest(IngestArgs),
    /// Measure quality on a file: ask before each event, then learn it (prequential-v1)
    #[command(after_long_help = "Examples:
  eddyline evaluate --dataset ml-100k --path DIR --json
  eddyline evaluate --events ratings.csv --positive-rating 4 \\
      --map user_id=1,item_id=2,rating=3,timestamp=4,event_type=:rate --profile quality")]
    Evaluate(EvaluateArgs),
    /// Print lineage, epoch and digest of the state
    #[command(after_long_help = "Examples:
  eddyline digest
  eddyline digest --data /srv/shop --recompute --workers 4")]
    Digest(DigestArgs),
    /// Archive what is bound as Parquet, and look at what was archived
    #[command(after_long_help = "Examples:
  # in a fleet; `eddyline up` archives by itself where archive.url is set
  eddyline archive --log-url kafka://broker:9092 --archive s3://bucket/archive
  eddyline archive --once --archive file:archive
  eddyline archive ls --archive s3://bucket/archive
  eddyline archive verify --archive s3://bucket/archive")]
    Archive(ArchiveArgs),
    /// Fold recorded history again: rebuild state, prove it
    #[command(after_long_help = "Examples:
  eddyline replay verify --archive s3://bucket/archive
  eddyline replay rebuild --archive s3://bucket/archive --workers 2")]
    Replay {
        #[command(subcommand)]
        verb: ReplayVerb,
    },
    /// Keep several lineages side by side, and choose the one that answers
    #[command(after_long_help = "Examples:
  # the same history under another configuration, which `up` then follows too
  eddyline replay rebuild --archive file:archive --set core.factors.item_rate=0.05
  eddyline lineage ls
  eddyline lineage diff 5246f0a1 9b1c77d2
  eddyline lineage activate 9b1c77d2
  eddyline lineage rollback
  eddyline lineage retire 9b1c77d2")]
    Lineage {
        #[command(subcommand)]
        verb: LineageVerb,
    },
    /// Look at the states that are kept, or write one as Parquet for other tools
    #[command(after_long_help = "Examples:
  eddyline snapshot ls
  eddyline snapshot export --parquet s3://bucket/export")]
    Snapshot {
        #[command(subcommand)]
        verb: SnapshotVerb,
    },
    /// List records that are no events, send one again, or pass over one that cannot be folded
    #[command(after_long_help = "Examples:
  eddyline dlq ls --archive s3://bucket/archive
  eddyline dlq retry user_events 0 17 --archive s3://bucket/archive --with corrected.json
  eddyline dlq skip user_events 0 17 --data /srv/shop
  eddyline dlq skip feedback 3 120 --log-url kafka://broker:9092/shop")]
    Dlq {
        #[command(subcommand)]
        verb: DlqVerb,
    },
    /// Forget a user, and list what was forgotten
    #[command(after_long_help = "Examples:
  eddyline user erase u42
  eddyline user erase u42 --archive s3://bucket/archive
  eddyline user erasures --archive s3://bucket/archive")]
    User {
        #[command(subcommand)]
        verb: UserVerb,
    },
    /// Ask a running server for recommendations
    #[command(after_long_help = "Examples:
  eddyline recommend u42
  eddyline recommend u42 -n 5 --context homepage --output json")]
    Recommend(RecommendArgs),
    /// Ask a running server for items similar to one
    #[command(after_long_help = "Examples:
  eddyline similar sku-7
  eddyline similar sku-7 -n 5 --output ndjson")]
    Similar(SimilarArgs),
    /// Write, check or show the configuration
    #[command(after_long_help = "Examples:
  eddyline config init
  eddyline config check eddyline.toml
  eddyline config show --origin")]
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Print the version
    #[command(after_long_help = "Examples:\n  eddyline version --output json")]
    Version {
        /// How it is printed
        #[arg(long, value_enum, default_value = "table")]
        output: crate::output::Format,
    },
    /// Measure the numbers of the README on this machine
    #[command(after_long_help = "Examples:
  eddyline bench ingest --json
  eddyline bench ingest --log kafka://broker:9092 --features redis://host:6379 --json
  eddyline bench recovery --json
  eddyline bench freshness --json --rate 2000
  eddyline bench crashes --schedules 10000 --seed 1
  eddyline bench crashes --plant emit-before-bind --schedules 300
  eddyline bench determinism --json")]
    Bench {
        #[command(subcommand)]
        verb: BenchVerb,
    },
    /// Print completions for a shell
    #[command(after_long_help = "Examples:
  eddyline completions bash > /etc/bash_completion.d/eddyline")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_examples() {
        for verb in Cli::command().get_subcommands() {
            let help = verb.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:"), "{} has no examples", verb.get_name());
        }
    }

    #[test]
    fn flags_are_understood_together() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.verb);
        let ok = |line: &str| assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
        ok("eddyline up --data d --listen 127.0.0.1:0 --workers 2 --insecure --set core.seed=2");
        ok("eddyline dataflow --log-url kafka://b:9092 --workers 2 --listen 127.0.0.1:0");
        ok("eddyline dataflow --processes 2 --process 1 --hosts a:1,b:1 --supervise");
        ok("eddyline serve --log-url kafka://b:9092 --data d --insecure");
        ok("eddyline demo --rate 100");
        ok("eddyline ingest a.csv b.csv --map user_id=1 --items i.csv --items-map item_id=1");
        ok("eddyline ingest --dataset ml-100k --path d --dry-run");
        ok("eddyline evaluate --dataset online-retail --path d --json --workers 2");
        ok("eddyline digest --data d --recompute --workers 4 --epoch 7");
        ok("eddyline lineage diff 5246f0a1 9b1c77d2 --data d --output json");
        ok("eddyline lineage rollback --server http://localhost:1 --api-key k");
        ok("eddyline snapshot ls --data d --output ndjson");
        ok("eddyline snapshot export --parquet file:x --archive file:a --epoch 7");
        ok("eddyline dlq skip user_events 0 17 --data d");
        ok("eddyline dlq skip feedback 3 120 --log-url kafka://b:9092/shop --output json");
        ok("eddyline user erase u42 --server http://127.0.0.1:1 --wait 0");
        ok("eddyline user erase u42 --archive file:archive --data d");
        ok("eddyline user erasures --archive file:archive --data d --output json");
        ok("eddyline bench freshness --json --rate 2000 --samples 1000");
        ok("eddyline bench ingest --log kafka://b:9092 --features redis://r --log-filter error");
        ok("eddyline bench ingest --processes 2 --workers 1 --fleet");
        ok("eddyline bench freshness --log kafka://b:9092 --features redis://r --keep");
        ok("eddyline bench recovery --events 1000 --state-bytes 1000000 --json");
        ok("eddyline bench crashes --json --schedules 10 --seed 7 --plant no-fence");
        ok("eddyline bench determinism --json --events 1000 --one-process");
        let refused = |line: &str| {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        };
        refused("eddyline");
        refused("eddyline ingest a.csv --map nonsense");
        refused("eddyline ingest --dataset ml-100k");
        refused("eddyline digest --workers two");
        refused("eddyline dlq skip bindings 0 17");
        refused("eddyline dlq skip user_events 0 last");
        ok("eddyline dlq ls --archive file:archive --topic feedback --output ndjson");
        ok("eddyline dlq retry user_events 0 17 --with - --server http://127.0.0.1:8080");
        refused("eddyline dlq ls --archive file:a --log-url kafka://b:9092/shop");
        refused("eddyline dlq ls --topic bindings");
        refused("eddyline dlq");
        refused("eddyline lineage activate");
    }
}
