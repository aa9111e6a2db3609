//! What attempts of a run leave in their folder, which the next one of them must not meet.

use millstream_blob::LogStream;
use millstream_model::StepPlan;

use crate::bench::{Bench, run_of, shell};

/// What a shell says of what it was given: its folder, its result file and its context.
const LOOK: &str = "echo tmp=$(ls -A $TMPDIR) result=$(cat $MILLSTREAM_RESULT 2>/dev/null); \
                    grep -o '\"step\":\"[a-z]*\"' $MILLSTREAM_CONTEXT";

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
        let second =
            StepPlan { depends_on: vec!["first".parse().unwrap()], ..shell("second", LOOK) };
        bench.run(run_of(vec![shell("first", mess), second])).await;
        let log = bench.log("second", 1, LogStream::Out).await;
        assert_eq!(log, "tmp= result=\n\"step\":\"second\"\n", "after `{mess}`");
        let left = bench.folder.path().join("scratch").read_dir().unwrap().count();
        assert_eq!(left, 0, "what a run was given goes with it: `{mess}`");
    }
}
