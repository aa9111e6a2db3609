//! What attempts of a run leave in their folder, which the next one of them must not meet.

use std::path::Path;
use std::time::Duration;

use millstream_blob::LogStream;
use millstream_model::{PoolUse, StepPlan};

use crate::bench::{Bench, noop, run_of, shell};
use crate::http::{self, run_at, serve, step};

/// What a shell says of what it was given: its folder, its result file and its context.
const LOOK: &str = "echo tmp=$(ls -A $TMPDIR) result=$(cat $MILLSTREAM_RESULT 2>/dev/null); \
                    grep -o '\"step\":\"[a-z]*\"' $MILLSTREAM_CONTEXT";

/// Leaves a file in the step's folder, and says which folder that is.
const LEAVE: &str = "echo 1 > $TMPDIR/large; echo $TMPDIR";

#[tokio::test]
async fn a_step_meets_nothing_of_those_before_it_in_its_folder() {
    for mess in [
        "true",
        "echo left > $TMPDIR/file; mkdir $TMPDIR/folder",
        "echo '{\"rows\": 3}' > $MILLSTREAM_RESULT",
        "rm -r $TMPDIR",
        "rm -r $TMPDIR; ln -s /etc $TMPDIR",
        "rm $MILLSTREAM_CONTEXT; ln -s $MILLSTREAM_RESULT $MILLSTREAM_CONTEXT",
        "rm $MILLSTREAM_CONTEXT; mkfifo $MILLSTREAM_CONTEXT",
        "ln $MILLSTREAM_CONTEXT $TMPDIR/../mine",
        "chmod 0 $MILLSTREAM_CONTEXT $TMPDIR",
        "echo noise >> ${MILLSTREAM_CONTEXT%context.json}messages",
        "echo a long context that is not JSON any more >> $MILLSTREAM_CONTEXT",
    ] {
        let bench = Bench::new();
        let after = |name: &str, step| StepPlan { depends_on: vec![name.parse().unwrap()], ..step };
        // While it runs, what the first has left is seen to.
        let between = after("first", shell("between", "true"));
        let second = after("between", shell("second", LOOK));
        bench.run(run_of(vec![shell("first", mess), between, second])).await;
        let log = bench.log("second", 1, LogStream::Out).await;
        assert_eq!(log, "tmp= result=\n\"step\":\"second\"\n", "after `{mess}`");
        let left = bench.folder.path().join("scratch").read_dir().unwrap().count();
        assert_eq!(left, 0, "what a run was given goes with it: `{mess}`");
    }
}

/// Whether what `first` has left in its folder is there.
async fn is_left(bench: &Bench) -> bool {
    let folder = bench.log("first", 1, LogStream::Out).await;
    assert!(Path::new(folder.trim()).is_absolute(), "it has said where its folder is: {folder:?}");
    Path::new(folder.trim()).join("large").exists()
}

#[tokio::test]
async fn what_a_step_has_left_is_gone_while_a_step_goes_on_that_is_no_program() {
    let bench = http::bench();
    let (address, mut heard) = serve("");
    let first = shell("first", LEAVE);
    let ask = StepPlan { depends_on: vec!["first".parse().unwrap()], ..noop("ask", &[]) };
    let mut run = run_at(address, step(), ask);
    run.plan.steps.insert(0, first);
    let looking = async {
        heard.wait_for(|count| *count > 0).await.unwrap();
        let is_left = is_left(&bench).await;
        bench.control.cancel();
        is_left
    };
    let (_, is_left) = tokio::join!(bench.run(run), looking);
    assert!(!is_left);
}

#[tokio::test]
async fn what_a_step_has_left_is_gone_while_a_run_waits_for_slots() {
    let bench = Bench::new();
    bench.control.keep_slots();
    let pool = Some(PoolUse { name: "some".parse().unwrap(), slots: 1 });
    let second =
        StepPlan { depends_on: vec!["first".parse().unwrap()], pool, ..noop("second", &[]) };
    let looking = async {
        bench.control.heard("step_succeeded first").await;
        while is_left(&bench).await {
            tokio::task::yield_now().await;
        }
        bench.control.cancel();
    };
    let run = run_of(vec![shell("first", LEAVE), second]);
    let both = async { tokio::join!(bench.run(run), looking) };
    tokio::time::timeout(Duration::from_mins(1), both).await.unwrap();
}
