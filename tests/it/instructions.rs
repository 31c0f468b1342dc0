//! What a run costs in instructions, which no busy machine changes: valgrind counts them.
//!
//! Told apart are what a run costs however small the directories are, and what each person adds. The
//! numbers belong to this profile of the build, differ by two in a hundred between runs, and move with
//! the compiler. So the limits leave a quarter of room.

use rolecall::domain::time::SystemClock;

use crate::child::Victim;
use crate::fault_world::World;
use crate::requirements::{Requirement, require};

const FEW: usize = 200;
const MANY: usize = 1_200;
/// Of a run over [`FEW`] people on each side, nothing changed; 103 to 106 million were counted.
const LIMIT_FOR_FEW: u64 = 130_000_000;
/// Of each person more; 197 to 201 thousand were counted.
const LIMIT_FOR_EACH: u64 = 250_000;

async fn organisation(people: usize) -> World {
    let world = World::with(|options| options.clock = SystemClock::shared()).await;
    world.fill(people);
    // Under valgrind the program is fifty times slower.
    world.settings("[opsera]\ntimeout = \"60s\"\n[opa]\ntimeout = \"60s\"\n[guards]\nmax_deactivations = 1000\nmax_role_changes = 1000\n");
    world
}

/// Instructions of the second dry run.
async fn counted(people: usize) -> u64 {
    let world = organisation(people).await;
    let arguments = ["sync", "--dry-run", "--format", "json"];
    let mut first = world.command(&arguments);
    let first = Victim::start(&mut first, world.dir.path()).end().await;
    first.assert_code(0);
    let counts = world.dir.path().join("callgrind.out");
    let mut second = std::process::Command::new("valgrind");
    second
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(env!("CARGO_BIN_EXE_rolecall"));
    world.finish_command(&mut second, &arguments);
    let path = std::env::var_os("PATH").unwrap();
    let second = Victim::start(second.env("PATH", path), world.dir.path());
    second.end().await.assert_code(0);
    let written = std::fs::read_to_string(&counts).unwrap();
    let total = written
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .expect("callgrind writes the sum");
    total.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_and_each_person_of_it_cost_no_more_instructions_than_before() {
    if !require(Requirement::Valgrind) {
        return;
    }
    let (few, many) = (counted(FEW).await, counted(MANY).await);
    let each = (many - few) / u64::try_from(MANY - FEW).unwrap();
    println!("{few} instructions for {FEW} people, {each} for each more");
    assert!(few < LIMIT_FOR_FEW, "{few} for {FEW} people");
    assert!(each < LIMIT_FOR_EACH, "{each} for each person");
}
