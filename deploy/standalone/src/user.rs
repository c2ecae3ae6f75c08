//! `eddyline user`: forgetting a user, and the receipts of that.
//!
//! Asked through a running server, the event goes to the log, and whoever archives does the rest.
//! With `--archive`, on an archive that no process writes to, the rows are erased at once: up to the
//! user's last request that is archived, or all of them where there is none.

use std::time::{Duration, Instant};

use eddyline_connect::objects::Access;
use eddyline_replay::archive::{
    Catalogue, Nonce, Subject, Surroundings, erase, outstanding, receipts, requests, write_receipt,
};
use eddyline_schemas::id::UserId;
use serde_json::{Value, json};

use crate::archive::{no_archive, of_archive, open_archive};
use crate::client::{ClientArgs, encode};
use crate::config::{Config, ConfigArgs, load};
use crate::exit::{Exit, OrStop, Outcome};
use crate::output::{Format, print_json, print_json_line, print_line, print_table};

/// How often a job is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What to do about users.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum UserVerb {
    /// Forget a user: in answers, stores, archive and snapshots
    Erase(EraseArgs),
    /// List the receipts of erasures
    Erasures(ErasuresArgs),
}

/// Flags of `user erase`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EraseArgs {
    /// The user's id
    #[arg(value_name = "USER")]
    pub user: String,
    /// Erase in this archive, to which no process writes, without a server: s3://BUCKET/PREFIX or
    /// file:DIR
    #[arg(long, value_name = "URL", conflicts_with = "server")]
    pub archive: Option<String>,
    /// How long to wait for the job, in seconds; 0 prints it and leaves
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
    /// How the job is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Flags of `user erasures`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ErasuresArgs {
    #[command(flatten)]
    pub place: crate::archive::PlaceArgs,
    /// How they are printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
}

/// Runs one of the verbs.
pub(crate) fn run(verb: &UserVerb, config: &ConfigArgs) -> Outcome {
    match verb {
        UserVerb::Erase(args) => match &args.archive {
            Some(archive) => directly(args, archive, config),
            None => ask(args),
        },
        UserVerb::Erasures(args) => list(args, config),
    }
}

fn ask(args: &EraseArgs) -> Outcome {
    let client = args.client.client();
    let begun = client.post(&format!("/v1/users/{}:erase", encode(&args.user)), b"")?;
    let job = begun["job"].as_str().unwrap_or_default();
    let path = format!("/v1/jobs/{}", encode(job));
    let (started, patience) = (Instant::now(), Duration::from_secs(args.wait));
    loop {
        let found = client.get(&path)?;
        if found["state"] != "pending" || started.elapsed() >= patience {
            return print_job(&found, args.output);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn print_job(job: &Value, format: Format) -> Outcome {
    match format {
        Format::Json => print_json(job),
        Format::Ndjson => print_json_line(job),
        Format::Table => {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let note = match job["state"].as_str() {
                Some("done") => "the receipt says what was done and what remains".to_owned(),
                Some("forgotten") => text(&job["note"]),
                _ => "it goes on; ask again with GET /v1/jobs/JOB".to_owned(),
            };
            let epoch = job["epoch"].to_string();
            print_table(
                &["job", "state", "epoch", "forgotten"],
                &[vec![
                    text(&job["job"]),
                    text(&job["state"]),
                    epoch,
                    job["forgotten"].to_string(),
                ]],
            )?;
            print_line(&note)?;
            if job["receipt"].is_object() { print_json(&job["receipt"]) } else { Ok(()) }
        }
    }
}

/// Erases in an archive that nobody writes to.
fn directly(args: &EraseArgs, archive: &str, config: &ConfigArgs) -> Outcome {
    let data = args.client.data.to_string_lossy().into_owned();
    let flags = [("archive.url", archive.to_owned(), "--archive"), ("data.dir", data, "--data")];
    let config = load(config, &flags)?;
    let user = UserId::new(&args.user)
        .or_stop(Exit::Usage, || format!("{:?} is no user id", args.user))?;
    let objects = open_archive(&config, Access::Write)?;
    let stopped = |error| of_archive(error, &config);
    let mut catalogue = Catalogue::open(&*objects).map_err(stopped)?;
    if catalogue.number() == 0 {
        return Err(no_archive(&config));
    }
    let mut subjects = requests(&*objects, &catalogue).map_err(stopped)?;
    subjects.retain(|subject| subject.user == user);
    if subjects.is_empty() {
        subjects.push(Subject { user, request: None });
    }
    let nonce = Nonce(eddyline_connect::random::bytes());
    let done = erase(&*objects, &mut catalogue, &subjects, nonce).map_err(stopped)?;
    for one in outstanding(&*objects, &catalogue).map_err(stopped)? {
        write_receipt(&*objects, &one, &elsewhere()).map_err(stopped)?;
    }
    let numbers: Vec<u64> = done.erasures.iter().map(|erasure| erasure.number).collect();
    let mut all = receipts(&*objects).map_err(stopped)?;
    all.retain(|receipt| {
        receipt["number"].as_u64().is_some_and(|number| numbers.contains(&number))
    });
    print_receipts(&all, args.output)
}

/// What an erasure in the archive alone leaves.
fn elsewhere() -> Surroundings {
    let not_here = "not looked at: only the archive was erased. A dataflow forgets the user with an \
                    event of type erase: `eddyline user erase USER` through a server";
    Surroundings {
        snapshots: None,
        log: not_here.to_owned(),
        deltas: not_here.to_owned(),
        feature_store: Some(not_here.to_owned()),
    }
}

fn list(args: &ErasuresArgs, config: &ConfigArgs) -> Outcome {
    let data = args.place.data.as_deref().map(|dir| dir.to_string_lossy().into_owned());
    let all =
        [("archive.url", args.place.archive.clone(), "--archive"), ("data.dir", data, "--data")];
    let flags: Vec<_> =
        all.into_iter().filter_map(|(key, value, flag)| Some((key, value?, flag))).collect();
    let config: Config = load(config, &flags)?;
    let objects = open_archive(&config, Access::Read)?;
    let all = receipts(&*objects).map_err(|error| of_archive(error, &config))?;
    print_receipts(&all, args.output)
}

fn print_receipts(receipts: &[Value], format: Format) -> Outcome {
    match format {
        Format::Json => print_json(&json!({ "erasures": receipts })),
        Format::Ndjson => receipts.iter().try_for_each(print_json_line),
        Format::Table => {
            let row = |receipt: &Value| {
                let (archive, request) = (&receipt["archive"], &receipt["request"]);
                let text = |value: &Value| value.to_string().replace('"', "");
                vec![
                    text(&receipt["number"]),
                    text(&receipt["user_blake3_128"]),
                    text(&request["asked"]),
                    text(&archive["until_epoch"]),
                    text(&archive["files_rewritten"]),
                    text(&archive["rows_erased"]),
                ]
            };
            let rows: Vec<Vec<String>> = receipts.iter().map(row).collect();
            print_table(&["number", "user (BLAKE3)", "asked", "epoch", "files", "rows"], &rows)
        }
    }
}
