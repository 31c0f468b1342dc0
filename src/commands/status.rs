//! `rolecall status`: is all well, and if not, what is stuck and why.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::desk::{Desk, Look, age, tell_no_run_yet};
use super::queue;
use crate::audit::Head;
use crate::audit_stream::last_delivered;
use crate::cli::{GlobalArgs, StatusArgs, TableFormat};
use crate::domain::approval::good_until;
use crate::domain::text::counted;
use crate::domain::time::time_for_people;
use crate::domain::{
    ActionState, ExitStatus, HeldPlan, PlanState, text::for_terminal, time::Timestamp,
};
use crate::output;
use crate::output::{Listing, strong};
use crate::settings::OfflineSettings;
use crate::store::{LockState, QueueRow, QueueView, RunRow, StoreError};

/// The `schema` of the JSON form.
const SCHEMA: &str = "rolecall.status/1";
/// Runs that are shown.
const RUNS: u32 = 10;
/// Actions that are shown one by one; `queue list` has the rest.
const STUCK: u32 = 20;

/// Everything that is shown, read at one time.
struct Picture {
    now: Timestamp,
    bytes: u64,
    runs: Vec<RunRow>,
    succeeded_at: Option<Timestamp>,
    pulled_at: Option<Timestamp>,
    depth: Vec<(ActionState, u64)>,
    stuck: Vec<QueueRow>,
    plans: Vec<HeldPlan>,
    head: Head,
    lock: LockState,
}

pub(super) async fn run(global: &GlobalArgs, args: &StatusArgs) -> anyhow::Result<ExitStatus> {
    let format = args.format.or_fitting();
    let desk = match Desk::look(global).await? {
        Look::Open(desk) => desk,
        Look::NoRunYet(settings) => {
            tell_no_run_yet(global, &settings, format, &nothing_yet(&settings))?;
            return Ok(ExitStatus::Done);
        }
    };
    let picture = look(&desk).await;
    desk.store.close().await;
    let picture = picture?;
    let text = match format {
        TableFormat::Json => format!("{:#}\n", document(&picture, &desk.settings)),
        TableFormat::Table => page(global, &picture, &desk.settings)?,
    };
    output::deliver(None, global.colour(), &text)?;
    Ok(ExitStatus::Done)
}

async fn look(desk: &Desk) -> Result<Picture, StoreError> {
    let store = &desk.store;
    let is_open = |plan: &HeldPlan| matches!(plan.state, PlanState::Held | PlanState::Approved);
    let runs = store.list_runs(RUNS).await?;
    // Only a run without an end raises the question whether one is under way.
    let lock = if runs.first().is_some_and(|run| run.outcome.is_none()) {
        LockState::of(store.path())
    } else {
        LockState::Unknown
    };
    Ok(Picture {
        now: desk.clock.now(),
        bytes: store.size_on_disk(),
        lock,
        runs,
        succeeded_at: store.last_success().await?,
        pulled_at: store.latest_pull().await?.map(|(_, at)| at),
        depth: store.count_queue().await?,
        stuck: store.list_queue(QueueView::Unsettled, STUCK).await?,
        plans: store
            .list_plans()
            .await?
            .into_iter()
            .filter(is_open)
            .collect(),
        head: store.audit_head().await?,
    })
}

fn nothing_yet(settings: &OfflineSettings) -> Value {
    json!({
        "schema": SCHEMA,
        "store": { "path": settings.store.path, "bytes": null },
        "last_success_at": null,
        "snapshot_at": null,
        "snapshot_age_seconds": null,
        "runs": [],
        "queue": { "depth": {}, "stuck": [] },
        "plans": [],
        "audit": { "entries": 0, "head": null },
    })
}

fn document(picture: &Picture, settings: &OfflineSettings) -> Value {
    let ttl = settings.policy.guards.approval_ttl;
    let depth: serde_json::Map<String, Value> = picture
        .depth
        .iter()
        .map(|(state, count)| (state.to_string(), json!(count)))
        .collect();
    let mut document = json!({
        "schema": SCHEMA,
        "store": { "path": settings.store.path, "bytes": picture.bytes },
        "last_success_at": picture.succeeded_at,
        "snapshot_at": picture.pulled_at,
        "snapshot_age_seconds": picture.pulled_at.map(|at| (picture.now - at).num_seconds()),
        "runs": picture.runs.iter().enumerate().map(|(place, run)| json!({
            "run_id": run.id,
            "state": run_state(picture, place, run).as_str(),
            "mode": run.mode,
            "outcome": run.outcome,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "plan_id": run.plan_id,
            "summary": run.report.as_ref().map(|report| report.summary),
            "error": run.error,
        })).collect::<Vec<_>>(),
        "queue": {
            "depth": depth,
            "stuck": picture.stuck.iter().map(queue::brief).collect::<Vec<_>>(),
        },
        "plans": picture.plans.iter().map(|plan| json!({
            "plan_id": plan.id,
            "state": plan.state.as_str(),
            "actions": plan.actions,
            "done": plan.done,
            "last_held_at": plan.last_held_at,
            "good_until": good_until(plan, ttl),
        })).collect::<Vec<_>>(),
        "audit": { "entries": picture.head.entries, "head": picture.head.hash },
    });
    if let (Some(delivered), Some(Value::Object(audit))) =
        (last_delivered(settings), document.get_mut("audit"))
    {
        audit.insert("delivered".to_owned(), json!(delivered));
    }
    document
}

fn page(
    global: &GlobalArgs,
    picture: &Picture,
    settings: &OfflineSettings,
) -> anyhow::Result<String> {
    let mut text = String::new();
    facts(&mut text, picture, settings);
    title(&mut text, "Last runs");
    table(global, &mut text, &runs(picture))?;
    let stuck = &picture.stuck;
    if !stuck.is_empty() {
        title(&mut text, "Waiting or stuck");
        table(global, &mut text, &actions(stuck))?;
        if u64::try_from(stuck.len()).is_ok_and(|shown| shown == u64::from(STUCK)) {
            line(&mut text, "`rolecall queue list` shows all of them.");
        }
    }
    plans(&mut text, picture, settings);
    Ok(text)
}

fn facts(text: &mut String, picture: &Picture, settings: &OfflineSettings) {
    let when = |at: Option<Timestamp>| {
        at.map_or_else(
            || "never".to_owned(),
            |at| format!("{} ({})", time_for_people(at), age(at, picture.now)),
        )
    };
    let of = |state: ActionState| {
        let found = picture.depth.iter().find(|(found, _)| *found == state);
        found.map_or(0, |(_, count)| *count)
    };
    let over: Vec<String> = picture
        .depth
        .iter()
        .filter(|(state, _)| !state.is_open())
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let mut depth = format!(
        "{} planned, {} in flight",
        of(ActionState::Planned),
        of(ActionState::InFlight)
    );
    if !over.is_empty() {
        depth.push_str(&format_args!("; on record {}", over.join(", ")).to_string());
    }
    let entries = counted(picture.head.entries, "entry", "entries");
    let delivered = match (last_delivered(settings), &settings.audit.stream) {
        (Some(delivered), Some(target)) => format!(", {delivered} of them delivered to {target}"),
        _ => String::new(),
    };
    let path = settings.store.path.display().to_string();
    for (name, fact) in [
        ("Last success", when(picture.succeeded_at)),
        ("Last complete pull", when(picture.pulled_at)),
        ("Queue", depth),
        (
            "Audit log",
            format!("{entries}, head {}{delivered}", picture.head.hash),
        ),
        (
            "Store",
            format!("{path}, {} KiB", picture.bytes.div_ceil(1024)),
        ),
    ] {
        line(text, &format!("{name:<18}  {}", for_terminal(&fact)));
    }
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunState {
    Finished,
    UnderWay,
    /// It has no end on record, and no process has the store's lock.
    Killed,
    /// It has no end on record, and this user may not look at the lock.
    Unknown,
}

impl RunState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::UnderWay => "under_way",
            Self::Killed => "killed",
            Self::Unknown => "unknown",
        }
    }
}

/// The state of the run at `place`, counted from the latest: only that one can be under way.
fn run_state(picture: &Picture, place: usize, run: &RunRow) -> RunState {
    match (&run.outcome, place, picture.lock) {
        (Some(_), _, _) => RunState::Finished,
        (None, 0, LockState::Held) => RunState::UnderWay,
        (None, 0, LockState::Unknown) => RunState::Unknown,
        (None, _, _) => RunState::Killed,
    }
}

fn runs(picture: &Picture) -> Listing {
    let mut listing = Listing::new([
        "started", "took", "mode", "outcome", "plan", "counts", "error",
    ]);
    for (place, run) in picture.runs.iter().enumerate() {
        let took = run.finished_at.map(|end| {
            let seconds = (end - run.started_at).num_milliseconds().max(0);
            format!("{}.{} s", seconds / 1000, seconds % 1000 / 100)
        });
        let outcome = match (run_state(picture, place, run), &run.outcome) {
            (_, Some(outcome)) => outcome.clone(),
            (RunState::UnderWay, None) => "under way".to_owned(),
            (RunState::Killed, None) => "killed; the next run settles it".to_owned(),
            (RunState::Unknown | RunState::Finished, None) => "under way, or killed".to_owned(),
        };
        listing.push([
            json!(format!(
                "{} ({})",
                time_for_people(run.started_at),
                age(run.started_at, picture.now)
            )),
            json!(took),
            json!(run.mode),
            json!(outcome),
            json!(run.plan_id),
            json!(run.report.as_ref().map(counts)),
            json!(run.error),
        ]);
    }
    listing
}

/// What a run wanted, by kind; nothing where it wanted nothing.
fn counts(report: &crate::domain::Report) -> String {
    let summary = &report.summary;
    let parts: Vec<String> = [
        (summary.deactivate, "deactivate"),
        (summary.set_role, "set role"),
        (summary.create, "create"),
        (summary.waiting, "waiting"),
        (summary.findings, "findings"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    parts.join(", ")
}

fn actions(stuck: &[QueueRow]) -> Listing {
    let mut listing = Listing::new(["id", "state", "kind", "address", "why"]);
    for row in stuck {
        listing.push([
            json!(row.id),
            json!(row.state.in_words()),
            json!(row.action.kind()),
            json!(row.action.email),
            json!(queue::note(row)),
        ]);
    }
    listing
}

fn plans(text: &mut String, picture: &Picture, settings: &OfflineSettings) {
    let ttl = settings.policy.guards.approval_ttl;
    let open: Vec<(&HeldPlan, Timestamp)> = picture
        .plans
        .iter()
        .filter_map(|plan| Some((plan, good_until(plan, ttl)?)))
        .filter(|(_, until)| *until > picture.now)
        .collect();
    if open.is_empty() {
        return;
    }
    title(text, "Plans held by a guard");
    for (plan, until) in open {
        let actions = counted(plan.actions, "action", "actions");
        let until = time_for_people(until);
        let words = match plan.state {
            PlanState::Approved => {
                format!(
                    "approved, {} of {actions} done, good until {until}",
                    plan.done
                )
            }
            _ => format!("{actions}, decide by {until}"),
        };
        line(text, &format!("  {}  {words}", plan.id));
        line(text, &format!("    rolecall plan show {}", plan.id));
    }
}

fn table(global: &GlobalArgs, text: &mut String, listing: &Listing) -> anyhow::Result<()> {
    let mut table = Vec::new();
    listing.write_table(super::style(global), &mut table)?;
    text.push_str(&String::from_utf8_lossy(&table));
    Ok(())
}

fn title(text: &mut String, title: &str) {
    line(text, &format!("\n{}", strong(title)));
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
