//! What a run costs in instructions, which no busy machine changes: valgrind counts them.
//!
//! Told apart are what a run costs however small the directories are, and what each person adds. The
//! numbers belong to this profile of the build, differ by two in a hundred between runs, and move with
//! the compiler. So the limits leave a quarter of room.

use rolecall::domain::time::SystemClock;
use rolecall::sandbox::{AccountSeed, PersonSeed};

use crate::child::Victim;
use crate::fault_world::World;
use crate::requirements::{Requirement, require};

const FEW: u64 = 200;
const MANY: u64 = 1_200;
/// Of a run over [`FEW`] people on each side, nothing changed; 103 to 106 million were counted.
const LIMIT_FOR_FEW: u64 = 130_000_000;
/// Of each person more; 197 to 201 thousand were counted.
const LIMIT_FOR_EACH: u64 = 250_000;

/// So many people on each side: of 40 one has left, of 20 one has a role by a group.
async fn organisation(people: u64) -> World {
    let world = World::with(|options| options.clock = SystemClock::shared()).await;
    for number in 0..people {
        let (name, email) = (format!("p{number}"), format!("p{number}@example.com"));
        let mut person = PersonSeed::active(&name, &email);
        if number % 40 == 0 {
            person = person.status("DISABLED");
        }
        if number % 20 == 1 {
            person = person.in_groups(["power"]);
        }
        world.sandbox.opa().add_person(person).unwrap();
        world
            .sandbox
            .opsera()
            .add(AccountSeed::active(&email))
            .unwrap();
    }
    // Under valgrind the program is fifty times slower.
    world.settings("[opsera]\ntimeout = \"60s\"\n[opa]\ntimeout = \"60s\"\n[guards]\nmax_deactivations = 1000\nmax_role_changes = 1000\n");
    world
}

/// Instructions of the second dry run.
async fn counted(people: u64) -> u64 {
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
    let each = (many - few) / (MANY - FEW);
    println!("{few} instructions for {FEW} people, {each} for each more");
    assert!(few < LIMIT_FOR_FEW, "{few} for {FEW} people");
    assert!(each < LIMIT_FOR_EACH, "{each} for each person");
}
