//! Servers, workers and their children that die at named points, on both databases: whatever goes
//! on still comes to one right end, soon, nothing happens twice, and no process of a step outlives
//! its worker for long.
//!
//! `MILLSTREAM_KILL_SEEDS` says how many seeds, each of which chooses another order and other
//! times to die, `MILLSTREAM_KILL_LEASE` how many seconds a process may be silent, and
//! `MILLSTREAM_KILL_ONLY` names the cases that are tried, by a part of what they are called.

mod deaths;
pub(crate) mod scenes;
mod writes;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use millstream_testkit::chance::Chance;

use crate::database::Database;
use crate::process;
use crate::project::{Project, machine, wait_for};
use crate::server::Server;
use deaths::{CASES, Case, Death};
use scenes::Scene;

/// Cases that go on at the same time: they wait for leases more than they compute.
const AT_ONCE: usize = 8;

/// From the death to the right end, this is the longest.
const RECOVERY_MAX: Duration = Duration::from_secs(20);

#[test]
fn g2_r195_r197_a_kill_at_any_point_leaves_one_right_end_on_sqlite() {
    println!("{}", kill_everywhere("sqlite", || Some(Database::Embedded)));
}

#[test]
fn g2_r195_r197_a_kill_at_any_point_leaves_one_right_end_on_postgres() {
    println!("{}", kill_everywhere("postgres", Database::on_postgres));
}

/// The number in an environment variable.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Goes through all cases; returns what was tried.
fn kill_everywhere(name: &str, database: impl Fn() -> Option<Database> + Sync) -> String {
    let _machine = machine();
    let seeds = number("MILLSTREAM_KILL_SEEDS", 1);
    let mut cases = Vec::new();
    for seed in 1..=seeds {
        let mut chance = Chance::new(seed);
        let mut of_seed: Vec<(u64, &Case)> = CASES
            .iter()
            .filter(|case| name != "sqlite" || case.is_everywhere())
            .map(|case| (1 + chance.below(case.times), case))
            .collect();
        // Others compete in each seed.
        of_seed.sort_by_cached_key(|_| chance.draw());
        cases.extend(of_seed);
    }
    if let Ok(only) = std::env::var("MILLSTREAM_KILL_ONLY") {
        cases.retain(|(_, case)| format!("{case:?}").contains(&only));
    }
    let waiting = Mutex::new(cases.iter());
    let recoveries = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((time, case)) = { waiting.lock().unwrap().next() } {
                    let Some(database) = database() else { return };
                    let recovery = Attempt::new(case, *time, &database).check();
                    recoveries.lock().unwrap().push(recovery);
                }
            });
        }
    });
    let recoveries = recoveries.into_inner().unwrap();
    let longest = recoveries.iter().max().copied().unwrap_or_default();
    format!(
        "G2: {name}: {} deaths at {} points, {seeds} seeds: 0 wrong ends, 0 orphans, \
         longest recovery {:.1} s",
        recoveries.len(),
        recoveries.len() as u64 / seeds,
        longest.as_secs_f64()
    )
}

/// One case, and the folder in which it is tried.
struct Attempt<'a> {
    case: &'a Case,
    what: String,
    is_embedded: bool,
    project: Project,
}

/// Who is left after a death, and when it was.
struct Aftermath {
    died: Instant,
    server: Server,
}

impl<'a> Attempt<'a> {
    fn new(case: &'a Case, time: u64, database: &Database) -> Self {
        let lease = format!("{}s", number("MILLSTREAM_KILL_LEASE", 1));
        let mut project =
            Project::with(case.scene.definitions()).variable("MILLSTREAM_LEASE", &lease);
        if let Some(url) = database.url() {
            project.set("MILLSTREAM_DATABASE_URL", Some(url));
            if !matches!(case.death, Death::Migration(_)) {
                assert_eq!(project.run(&["migrate"]).code, 0);
            }
        }
        if !matches!(
            case.death,
            Death::Server(_)
                | Death::Migration(_)
                | Death::ServerMidStep
                | Death::SupervisorMidStep
                | Death::StepMidStep
        ) {
            project.set("MILLSTREAM_LAUNCHER", Some("process"));
        }
        let what = format!("{:?} {:?} #{time}", case.scene, case.death);
        let is_embedded = database.url().is_none();
        let attempt = Self { case, what, is_embedded, project };
        attempt.armed_at(time)
    }

    /// The same, with the point set at which somebody dies, for the `time`th such commit.
    fn armed_at(mut self, time: u64) -> Self {
        if let Death::Server(point) | Death::Worker(point) = self.case.death {
            self.project.set("MILLSTREAM_CRASH_AT", Some(&format!("{point}#{time}")));
        }
        if let Death::Migration(name) = self.case.death {
            self.project.set("MILLSTREAM_CRASH_AT", Some(&format!("before:{name}")));
        }
        if let Death::Worker(_) = self.case.death {
            self.project.set("MILLSTREAM_CRASH_OF", Some("worker"));
        }
        self
    }

    /// Has somebody die and waits for the end; returns how long that took.
    fn check(mut self) -> Duration {
        let Aftermath { died, server } = self.die();
        let (end, what) = (self.case.end, &self.what);
        let runs = wait_for(&format!("{what}: its end"), || end.reached(&server));
        let recovery = died.elapsed();
        end.check(&server, &runs, what);
        for run in &runs {
            let marker = format!("MILLSTREAM_RUN_ID={}", run["run_id"].as_str().unwrap());
            wait_for(&format!("{what}: no process of a step is left"), || {
                process::with_variable(&marker).is_empty().then_some(())
            });
        }
        assert!(recovery <= RECOVERY_MAX, "{what}: it took {recovery:?}");
        recovery
    }

    fn die(&mut self) -> Aftermath {
        match self.case.death {
            Death::Server(_) => self.server_dies(),
            Death::Worker(_) => self.worker_dies(),
            Death::Migration(_) => self.migration_dies(),
            Death::ServerMidStep => {
                self.start_lasting_step().kill();
                self.next_server(Instant::now())
            }
            Death::WorkerMidStep => {
                let server = self.start_lasting_step();
                process::kill(self.process_named("__worker"));
                Aftermath { died: Instant::now(), server }
            }
            Death::ServerOfWorkerMidStep => {
                let server = self.start_lasting_step();
                let worker = self.process_named("__worker");
                server.kill();
                // Another port: the worker reports to the folder's socket.
                let aftermath = self.next_server(Instant::now());
                self.project.write("go", "");
                assert_eq!(self.process_named("__worker"), worker, "the worker goes on");
                aftermath
            }
            Death::SupervisorMidStep => {
                let server = self.start_lasting_step();
                let children = process::children(server.pid());
                let is_supervisor =
                    |pid: &u32| process::command_line(*pid).contains("__supervisor");
                process::kill(children.into_iter().find(is_supervisor).unwrap());
                Aftermath { died: Instant::now(), server }
            }
            Death::StepMidStep => {
                let server = self.start_lasting_step();
                let run = server.get("/default/api/v1/runs")[0]["run_id"].clone();
                let marker = format!("MILLSTREAM_RUN_ID={}", run.as_str().unwrap());
                let all = process::with_variable(&marker);
                process::kill(*all.iter().min().unwrap());
                Aftermath { died: Instant::now(), server }
            }
        }
    }

    /// The server dies at its point, and another one comes.
    fn server_dies(&mut self) -> Aftermath {
        let scene = self.case.scene;
        if matches!(scene, Scene::Lost | Scene::StartedAgain) {
            let point = self.disarm();
            let server =
                if scene == Scene::Lost { self.start_lasting_step() } else { self.project.serve() };
            server.kill();
            self.project.set("MILLSTREAM_CRASH_AT", point.as_deref());
        }
        if scene.lasts() && scene != Scene::Lost {
            self.project.write("lasts", "");
        }
        let mut server = self.project.start_server(0);
        self.act(&mut server);
        wait_for(&format!("{}: the death", self.what), || server.has_ended().then_some(()));
        let died = Instant::now();
        self.disarm();
        self.let_go();
        let aftermath = self.next_server(died);
        if matches!(scene, Scene::Started | Scene::StartedAgain) {
            self.launch();
        }
        aftermath
    }

    /// Whoever migrates dies, the next one finds the schema as it was, or further, but whole.
    fn migration_dies(&mut self) -> Aftermath {
        if self.is_embedded {
            let mut server = self.project.start_server(0);
            wait_for(&format!("{}: the death", self.what), || server.has_ended().then_some(()));
        } else {
            assert_eq!(self.project.run(&["migrate"]).code, -1, "{}", self.what);
        }
        let died = Instant::now();
        self.disarm();
        if !self.is_embedded {
            assert_eq!(self.project.run(&["migrate"]).code, 0, "{}", self.what);
        }
        let aftermath = self.next_server(died);
        self.launch();
        aftermath
    }

    /// The worker dies at its point; the server lives on.
    fn worker_dies(&mut self) -> Aftermath {
        if self.case.scene.lasts() {
            self.project.write("lasts", "");
        }
        let mut server = self.project.start_server(0);
        self.act(&mut server);
        wait_for(&format!("{}: the death", self.what), || {
            self.project.read("log").contains("crash on purpose").then_some(())
        });
        self.let_go();
        Aftermath { died: Instant::now(), server }
    }

    /// Lets the lasting step end where nobody cancels it: it may not have begun yet.
    fn let_go(&self) {
        if self.case.scene == Scene::Lasting {
            self.project.write("go", "");
        }
    }

    /// Does what the scene needs as soon as the server can; it may die at any time.
    fn act(&self, server: &mut Server) {
        let scene = self.case.scene;
        if scene.runs_itself()
            || matches!(scene, Scene::Lost | Scene::Started | Scene::StartedAgain)
        {
            return;
        }
        wait_for(&format!("{}: the run is launched", self.what), || {
            if server.has_ended() {
                return Some(());
            }
            // No answer comes from a server that dies while it asks for one.
            let ready = server.try_get("/ready").is_some_and(|(status, _)| status == 200);
            ready.then(|| self.launch())
        });
        if scene != Scene::Canceled {
            return;
        }
        self.wait_for_lasting_step();
        let runs = server.get("/default/api/v1/runs");
        self.project.run(&["run", "cancel", runs[0]["run_id"].as_str().unwrap()]);
    }

    /// A server with a run whose second step's process is there.
    fn start_lasting_step(&self) -> Server {
        self.project.write("lasts", "");
        let server = self.project.serve();
        self.launch();
        self.wait_for_lasting_step();
        server
    }

    fn wait_for_lasting_step(&self) {
        wait_for(&format!("{}: the second step runs", self.what), || {
            self.project.path("begun").exists().then_some(())
        });
    }

    fn launch(&self) {
        self.project.run(&["job", "launch", "scene", "--no-wait"]);
    }

    fn next_server(&self, died: Instant) -> Aftermath {
        Aftermath { died, server: self.project.serve() }
    }

    /// From now on nobody dies; returns the point that was set.
    fn disarm(&mut self) -> Option<String> {
        self.project.set("MILLSTREAM_CRASH_AT", None)
    }

    /// The newest process of this folder whose command line has `word`.
    fn process_named(&self, word: &str) -> u32 {
        let folder = self.project.path("").display().to_string();
        let found = process::with_argument(folder.trim_end_matches('/'));
        let mut named = found.into_iter().filter(|pid| process::command_line(*pid).contains(word));
        named.next_back().unwrap()
    }
}
