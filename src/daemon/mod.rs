//! Runs on a schedule, for years, unattended.
//!
//! ```text
//! tokio-cron-scheduler ──tick───▶ main loop ──▶ one run at a time ──▶ metrics, health, messages
//! signals, elapsed time ────────▶ (runner)
//! ```
//!
//! Everything that happens goes through one loop, which polls the run under way itself. So runs
//! cannot overlap, and the loop's own turning proves that the run is being polled: systemd's
//! watchdog and `/healthz` are fed by it and by nothing else.
//!
//! # What the scheduler crate is trusted with
//!
//! Only with waking the loop up. Its ticks are spawned detached, may come twice, use the offset
//! from UTC that the zone had when the job was made, and fall silent when the clock is set back.
//! A tick therefore only sets a flag of capacity one; whether a run is due is for [`timetable`] to
//! say, the job is made anew whenever offset or clock have moved, and the loop looks at the
//! timetable by itself at every turn, so that a lost tick costs a second and not a day.

mod exposed_secrets;
mod health;
mod http;
mod pacing;
mod run_loop;
mod run_task;
mod start;
mod systemd;
mod ticker;
pub mod timetable;

pub use start::{DaemonOptions, StartError, run};
