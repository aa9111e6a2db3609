//! What holds for every page.

use millstream_control::{Because, GoingOn, Try, WaitingDelivery};
use millstream_model::view::{
    AssetRow, FailedCheck, FailedTry, FileRow, FileState, PartitionState, RunRow, ScheduleRow,
    SensorLag, SensorRow, SensorStand, StepRow,
};
use millstream_model::{
    CheckSeverity, Diagnostic, HumanDuration, LoopState, RunStatus, Severity, StepStatus, TickRow,
    Timestamp,
};
use millstream_server::PassedOver;
use millstream_server::frame::{Section, Theme};
use millstream_server::html::Html;
use millstream_server::link;
use millstream_server::pages::asset::asset;
use millstream_server::pages::assets::{AssetsPage, assets, badge, counts};
use millstream_server::pages::definitions::{DefinitionsPage, definitions};
use millstream_server::pages::gantt::Gantt;
use millstream_server::pages::now::{NowPage, now};
use millstream_server::pages::queue::{QueuePage, queue};
use millstream_server::pages::run::telling_step;
use millstream_server::pages::runs::{RunFilter, RunsPage, runs};
use millstream_server::pages::sensor::SensorPage;

use crate::{gallery, samples, schedule_samples};

#[test]
fn no_page_has_inline_script_style_or_an_address_of_another_origin() {
    for (name, page) in gallery::all(Theme::Dark) {
        let html = page.text();
        assert!(!html.is_empty(), "{name} did not render");
        for bad in ["<style", " style=", "javascript:", " onclick=", " onload=", "//cdn"] {
            assert!(!html.contains(bad), "{name} contains {bad}");
        }
        for script in html.split("<script").skip(1) {
            assert!(script.starts_with(" type=\"module\" src=\"/static/"), "{name}: {script:.60}");
        }
        assert!(!html.contains("alert(1)</script>"), "{name} lets metadata through");
    }
}

#[test]
fn every_page_names_itself_and_says_its_verdict_before_any_table() {
    for (name, page) in gallery::all(Theme::Auto) {
        let html = page.text();
        let heading = html.find("<h1").unwrap_or_else(|| panic!("{name} has no heading"));
        let table = html.find("<table").unwrap_or(html.len());
        assert!(heading < table, "{name}: a table stands above the heading");
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
        assert!(html.contains("<title>") && !html.contains("<title> ·"), "{name} has no title");
    }
}

#[test]
fn every_button_posts_a_form_so_that_nothing_needs_a_script() {
    for (name, page) in gallery::all(Theme::Auto) {
        let html = page.text();
        for form in html.split("<form").skip(1) {
            let head = form.split('>').next().unwrap();
            assert!(head.contains("method="), "{name}: {head}");
        }
        let outside: usize = html.split("<button").count() - 1;
        let inside: usize = html
            .split("<form")
            .skip(1)
            .map(|form| form.split("</form>").next().unwrap().matches("<button").count())
            .sum();
        assert_eq!(outside, inside, "{name} has a button outside of a form");
    }
}

#[test]
fn the_error_of_a_failed_run_stands_above_its_steps_and_its_stack() {
    let pages = gallery::all(Theme::Auto);
    let (_, page) = pages.iter().find(|(name, _)| *name == "run-failed").unwrap();
    let html = page.text();
    let message = html.find("class=\"message\">ValueError: schema drift").unwrap();
    assert!(message < html.find("Traceback").unwrap());
    assert!(message < html.find("class=\"gantt\"").unwrap());
}

#[test]
fn the_steps_that_an_earlier_run_did_are_marked_with_it_and_are_no_time_of_the_retry() {
    let row = |steps: &[StepRow], key: &str| {
        let drawn = Gantt::new(&samples::failed_run(), steps, "/base", samples::now()).to_string();
        let row = drawn.split_once(&format!("data-key=\"{key}\"")).unwrap().1.to_owned();
        row.split_once("</tr>").unwrap().0.to_owned()
    };
    let mut steps = samples::steps();
    let own = row(&steps, "payments_raw");
    steps[0].reason = Some("done in run 3f2a91c4".to_owned());
    steps[3].reason = Some("done in run 3f2a91c4: no new file".to_owned());
    for kept in [0, 3] {
        steps[kept].started_at = Some(samples::before(7_200));
        steps[kept].ended_at = Some(samples::before(7_100));
        let row = row(&steps, steps[kept].step.as_str());
        assert!(row.contains("done in run 3f2a91c4") && !row.contains("<rect"), "{row}");
        assert!(row.contains("href=\"/jfk/runs/3f2a91c4?tab=output"), "{row}");
        assert!(row.ends_with("<td class=\"c-took num\"></td>"), "{row}");
    }
    assert_eq!(row(&steps, "payments_raw"), own, "the axis begins with the run");
    assert_eq!(telling_step(&steps[..1]), None, "what it has written is the earlier run's");
}

#[test]
fn r179_a_job_that_somebody_turned_off_says_so_against_its_file() {
    let pages = gallery::all(Theme::Auto);
    let (_, page) = pages.iter().find(|(name, _)| *name == "automation").unwrap();
    let row = page.text().split("data-key=\"snapshot\"").nth(1).unwrap();
    let row = row.split("</tr>").next().unwrap();
    assert!(row.contains("Off") && row.contains("by hand") && row.contains("Turn on"), "{row}");
}

#[test]
fn a_row_of_runs_has_one_link_and_no_button() {
    let pages = gallery::all(Theme::Auto);
    let (_, page) = pages.iter().find(|(name, _)| *name == "runs").unwrap();
    for row in page.text().split("<tr data-key").skip(1) {
        let row = row.split("</tr>").next().unwrap();
        assert_eq!((row.matches("<a ").count(), row.matches("<button").count()), (1, 0), "{row}");
    }
}

#[test]
fn an_asset_of_which_partitions_are_missing_says_how_many_and_is_not_ticked() {
    let mut row = crate::samples::assets().remove(2);
    row.counts = [(PartitionState::Missing, 507), (PartitionState::Materialized, 1)].into();
    assert_eq!(badge(&row).word, "Partly built");
    assert_eq!(counts(&row, " partitions"), "1 of 508 partitions built · 507 never built");
}

#[test]
fn partitions_that_were_built_of_keys_that_are_no_more_are_told_apart_and_build_nothing() {
    let mut row = crate::samples::assets().remove(2);
    row.gone_partitions = 1;
    row.counts = [(PartitionState::Missing, 1), (PartitionState::Materialized, 2)].into();
    let words = "2 of 3 built · 1 never built · 1 built of a key that is no more";
    assert_eq!((badge(&row).word, counts(&row, "")), ("Partly built", words.to_owned()));
    row.gone_partitions = 3;
    row.counts = [(PartitionState::Missing, 2)].into();
    let words = "0 of 2 built · 2 never built · 3 built of keys that are no more";
    assert_eq!((badge(&row).word, counts(&row, "")), ("Never built", words.to_owned()));
    row.counts.clear();
    assert_eq!(counts(&row, ""), "no partitions yet · 3 built of keys that are no more");
}

#[test]
fn an_asset_that_was_built_and_whose_last_try_failed_says_both() {
    let failed = Try {
        run: crate::samples::failed_run().run_id,
        status: StepStatus::Failure,
        at: crate::samples::now(),
        error: None,
        blocked_by: None,
        skipped: None,
    };
    let skipped = Some("no rows today".to_owned());
    let good = Try { status: StepStatus::Skipped, skipped, ..failed.clone() };
    let verdict = |tries| {
        let page = gallery::tried_asset(Theme::Auto, 0, tries);
        let text = page.text().split_once("class=\"verdict").unwrap().1.to_owned();
        text.split_once("</p>").unwrap().0.to_owned()
    };
    let bad = verdict(vec![failed.clone()]);
    assert!(bad.contains("Built ") && bad.contains(" Its last try failed, in run "), "{bad}");
    let over = verdict(vec![good, failed]);
    assert!(over.contains("Built ") && !over.contains("failed"), "{over}");
    assert!(over.contains(" Its last try was skipped, in run "), "{over}");
    assert!(over.contains(": no rows today."), "{over}");
}

#[test]
fn a_run_that_goes_on_says_in_lists_and_in_its_headline_what_it_waits_for() {
    let waits = "step a is waiting for a pool";
    let run = RunRow { waits: Some(waits.to_owned()), ..samples::running_run() };
    let wanted = format!("5 of 8 steps over; {waits}");
    let runs = vec![run.clone()];
    let going_on = GoingOn { in_progress: 1, queued: 0, runs: runs.clone() };
    let page = NowPage { going_on, runs, ..gallery::now_page(Theme::Auto) };
    assert_eq!(now(page).text().matches(&wanted).count(), 4, "in two lists, each with its title");
    let headline = format!("— {wanted}.");
    assert!(gallery::page_of((run, None), Theme::Auto).text().contains(&headline));
}

#[test]
fn of_a_pool_that_tenants_share_the_slots_of_others_are_counted_and_nobody_named() {
    let page = QueuePage {
        frame: crate::samples::frame(Section::System, Theme::Auto),
        now: crate::samples::now(),
        queue: crate::samples::queue(),
    };
    let html = queue(page);
    assert!(html.text().contains("3 of 3") && html.text().contains("1 by other tenants"));
}

#[test]
fn a_chain_has_stopped_at_its_oldest_failure_that_no_newer_run_made_good() {
    let failed = crate::samples::failed_run();
    let good = RunRow { status: RunStatus::Success, ..failed.clone() };
    let other = RunRow { title: "other".to_owned(), ..failed.clone() };
    let page = RunsPage {
        frame: crate::samples::frame(Section::Runs, Theme::Auto),
        now: crate::samples::now(),
        filter: RunFilter::parse("tag:team=finance"),
        runs: vec![good, other.clone(), failed],
        before: None,
        next: None,
        searched_to: None,
    };
    let says = |page: &RunsPage| runs(page.clone()).text().contains("stopped at other (failed)");
    assert!(says(&page));
    let searched = RunsPage { searched_to: Some(other.run_id), ..page.clone() };
    assert!(says(&searched), "a chain is no older than what is searched");
    let html = runs(searched);
    let older = format!("before={}", other.run_id);
    assert!(html.text().contains("; 10000 runs were searched") && html.text().contains(&older));
    let of_status = RunFilter::parse("tag:team=finance status:failed");
    for part in [
        RunsPage { next: Some(other.run_id), ..page.clone() },
        RunsPage { before: Some(other.run_id), ..page.clone() },
        RunsPage { filter: of_status, ..page.clone() },
    ] {
        assert!(!says(&part), "of a part nobody could say it");
    }
}

#[test]
fn an_instance_without_daemons_says_that_nothing_goes_on() {
    let page = millstream_server::pages::daemons::DaemonsPage {
        frame: crate::samples::frame(Section::System, Theme::Auto),
        now: crate::samples::now(),
        daemons: Vec::new(),
    };
    let html = millstream_server::pages::daemons::daemons(page);
    assert!(html.text().contains("no daemon: runs wait, and nothing is scheduled"));
}

#[test]
fn all_pages_of_the_system_have_the_same_tabs() {
    let pages = gallery::all(Theme::Auto);
    let tabs = |html: &str| {
        let nav = html.split_once("aria-label=\"System\">")?.1.split_once("</nav>")?.0;
        Some(nav.replace(" aria-current=\"page\"", ""))
    };
    let found: Vec<(&str, String)> =
        pages.iter().filter_map(|(name, page)| Some((*name, tabs(page.text())?))).collect();
    for wanted in ["definitions", "file", "queue", "daemons", "tenants"] {
        assert!(found.iter().any(|(name, _)| *name == wanted), "{wanted}: {found:?}");
    }
    for (name, tabs) in &found {
        assert_eq!(*tabs, found[0].1, "{name}");
        assert!(tabs.contains(">Daemons</a>"), "{tabs}");
    }
}

#[test]
fn daemons_that_are_gone_are_counted_apart_and_do_nothing_any_more() {
    let text = |states: &[LoopState]| {
        let daemon = |(place, state): (usize, &LoopState)| {
            let mut daemon = crate::samples::daemons().remove(0);
            daemon.name = format!("daemon-{place}");
            daemon.state = *state;
            for row in &mut daemon.loops {
                let is_silent = *state == LoopState::Silent;
                row.silent_since = is_silent.then(crate::samples::now);
                row.state = *state;
            }
            daemon
        };
        let page = millstream_server::pages::daemons::DaemonsPage {
            frame: crate::samples::frame(Section::System, Theme::Auto),
            now: crate::samples::now(),
            daemons: states.iter().enumerate().map(daemon).collect(),
        };
        millstream_server::pages::daemons::daemons(page).text().to_owned()
    };
    let (healthy, gone) = (LoopState::Healthy, LoopState::Gone);
    let two = text(&[healthy, gone, healthy]);
    assert!(two.contains("2 daemons · every loop gets around · 1 gone"), "{two}");
    assert!(two.contains("does its part") && two.contains("does nothing any more"), "{two}");
    let silent = text(&[healthy, LoopState::Silent]);
    assert!(silent.contains("2 daemons · something is silent"), "{silent}");
    assert!(silent.contains("Silent</span>") && silent.contains("silent since <time"), "{silent}");
    assert!(silent.contains("</time>: holds the lease, until another takes it over"), "{silent}");
    let none = text(&[gone]);
    assert!(none.contains("no daemon lives: runs wait, and nothing is scheduled · 1 gone"));
    assert!(!none.contains("does its part"), "{none}");
}

#[test]
fn what_goes_on_is_counted_as_a_whole_and_listed_first_of_all() {
    let page = gallery::now_page(Theme::Dark);
    // Older than all of the newest runs.
    let old = RunRow { title: "by_hand".to_owned(), ..samples::running_run() };
    let going_on = GoingOn { in_progress: 34, queued: 3, runs: vec![old] };
    let html = now(NowPage { going_on, runs: Vec::new(), ..page });
    let text = html.text();
    assert!(text.contains("34 running · 3 queued") && text.contains(">by_hand</a>"), "{text}");
    assert!(
        text.contains(">and 33 more running</a>") && text.contains(">and 3 more queued</a>"),
        "{text}"
    );
    assert!(!now(gallery::now_page(Theme::Dark)).text().contains("more running"));
}

#[test]
fn steps_stand_in_the_order_of_their_starts() {
    let pages = gallery::all(Theme::Auto);
    let (_, page) = pages.iter().find(|(name, _)| *name == "run-failed").unwrap();
    let html = page.text();
    let steps = ["customers_raw", "fx_rates", "stg_orders", "stg_payments", "fct_payments"];
    let places = steps.map(|step| html.find(&format!("<tr data-key=\"{step}\"")).unwrap());
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_project_without_definition_files_is_told_where_they_belong() {
    let empty = |root: &str| DefinitionsPage {
        frame: crate::samples::frame(Section::System, Theme::Auto),
        now: crate::samples::now(),
        root: root.to_owned(),
        files: Vec::new(),
        silent: Vec::new(),
        passed_over: vec![PassedOver {
            name: "etl.ymll".to_owned(),
            why: "a definition file ends in .yaml".to_owned(),
        }],
    };
    let told = "<span class=\"place\">etl.ymll</span> is not read: a definition file ends in .yaml";
    assert!(definitions(empty("")).text().contains(told));
    assert!(definitions(empty("/project/etl")).text().contains("<code>/project/etl</code>"));
    assert!(definitions(empty("")).text().contains("<code>dags</code>"));
}

/// A sensor whose last tick was this one.
fn sensor(enabled: bool, last_tick: &TickRow) -> SensorRow {
    SensorRow {
        tenant: samples::tenant(),
        location: "project".parse().unwrap(),
        name: "arrivals".parse().unwrap(),
        description: None,
        kind: "files".to_owned(),
        asks: "files in/**".to_owned(),
        every: HumanDuration::from_secs(30),
        timeout: HumanDuration::from_secs(60),
        target: None,
        query: None,
        when: None,
        guard: None,
        enabled,
        enabled_default: true,
        unclear: None,
        enabled_override: None,
        job_off: false,
        waits: None,
        waits_for: None,
        next_at: None,
        last_tick: Some(last_tick.clone()),
    }
}

#[test]
fn the_page_of_a_sensor_that_requests_nothing_says_so_and_what_guards_the_keys() {
    let fine = schedule_samples::ticks().remove(0);
    let guard = Some("a tick removes at most 20% of the keys".to_owned());
    let page = |kind: &str| {
        let (kind, guard) = (kind.to_owned(), guard.clone());
        let page = SensorPage {
            frame: samples::frame(Section::Automation, Theme::Auto),
            now: samples::now(),
            sensor: SensorRow { kind, guard, ..sensor(true, &fine) },
            stand: SensorStand { cursor: None, lag: None, set_aside: None },
            deliveries: Vec::new(),
            ticks: Vec::new(),
            test: None,
        };
        millstream_server::pages::sensor::sensor(page).text().to_owned()
    };
    assert!(page("command").contains("what it says itself"));
    let own = page("partition_sync");
    assert!(own.contains("at most 20% of the keys") && !own.contains("says itself"), "{own}");
    assert!(page("run_status").contains("none: it has no `request`"));
}

#[test]
fn a_sensor_whose_job_is_off_or_that_waits_says_so_on_its_page_and_what_switches_it_on() {
    let fine = schedule_samples::ticks().remove(0);
    let page = |job_off: bool| {
        let target = Some("load".to_owned());
        let waits = (!job_off).then(|| "a lease is held".to_owned());
        let page = SensorPage {
            frame: samples::frame(Section::Automation, Theme::Auto),
            now: samples::now(),
            sensor: SensorRow { target, job_off, waits, ..sensor(true, &fine) },
            stand: SensorStand { cursor: None, lag: None, set_aside: None },
            deliveries: Vec::new(),
            ticks: Vec::new(),
            test: None,
        };
        millstream_server::pages::sensor::sensor(page).text().to_owned()
    };
    let way = "millstream job start load";
    let off = page(true);
    assert!(off.contains("its job load is off, so that no run of it is requested"), "{off}");
    let held = page(false);
    assert!(off.contains(way) && !held.contains(way), "{off}");
    assert!(held.contains("Asked every 30s, but a lease is held"), "{held}");
}

#[test]
fn the_page_of_a_webhook_s_sensor_shows_what_becomes_of_each_delivery_and_why() {
    let fine = schedule_samples::ticks().remove(0);
    let now = samples::now();
    let delivery = |name: &str, next_try: Option<Timestamp>, set_aside_at| WaitingDelivery {
        delivery: name.to_owned(),
        received_at: now,
        bytes: 7,
        tries: if next_try.or(set_aside_at).is_none() { 0 } else { 3 },
        problem: next_try.or(set_aside_at).map(|_| format!("{name} is <bad>")),
        next_try,
        set_aside_at,
    };
    let soon = now.after(std::time::Duration::from_secs(30));
    let page = |kind: &str| SensorPage {
        frame: samples::frame(Section::Automation, Theme::Auto),
        now,
        sensor: SensorRow { kind: kind.to_owned(), ..sensor(true, &fine) },
        stand: SensorStand {
            cursor: None,
            lag: Some(SensorLag { events: 2, since: Some(now) }),
            set_aside: Some(7),
        },
        deliveries: vec![
            delivery("d-1", None, None),
            delivery("d-2", Some(soon), None),
            delivery("d-3", None, Some(now)),
        ],
        ticks: Vec::new(),
        test: None,
    };
    let shown = millstream_server::pages::sensor::sensor(page("webhook"));
    let (_, table) = shown.text().split_once("<h2>Deliveries</h2>").unwrap();
    let rows: Vec<&str> = table.split("<tr data-key=\"d-").skip(1).collect();
    assert!(rows[0].contains(">waits<") && rows[0].contains(">0<"), "{}", rows[0]);
    assert!(rows[1].contains(">tried again in 30s<") && rows[1].contains(">3<"), "{}", rows[1]);
    assert!(rows[1].contains("d-2 is &#60;bad&#62;"), "{}", rows[1]);
    assert!(rows[2].contains(">set aside "), "{}", rows[2]);
    assert!(table.contains("and 6 more"), "{table}");
    let text = shown.text();
    assert!(text.contains("2 deliveries wait for it, the first came "), "{text}");
    assert!(!text.contains("cursor --clear"), "it has none");
    assert!(!text.contains("not read"), "{text}");
}

#[test]
fn the_page_of_an_asset_says_that_it_is_stale_and_why() {
    let because = Because { at: None, text: "orders was made after it".to_owned() };
    let page = |stale: Vec<Because>| gallery::asset_since(Theme::Auto, 0, (Vec::new(), stale));
    let (stale, fresh) = (page(vec![because]), page(Vec::new()));
    let verdict = |page: &Html| {
        let (_, rest) = page.text().split_once("<p class=\"verdict ").unwrap();
        rest.split_once("</p>").unwrap().0.to_owned()
    };
    assert!(verdict(&stale).contains("It is stale: orders was made after it."), "{}", stale.text());
    assert!(verdict(&stale).contains("t-stale"), "{}", verdict(&stale));
    assert!(!verdict(&fresh).contains("stale"), "{}", verdict(&fresh));
}

#[test]
fn the_page_of_an_asset_names_the_one_above_it_that_is_stale() {
    let above = Some("orders".parse().unwrap());
    let row = AssetRow { stale_upstream: above, ..samples::assets().remove(0) };
    let page = asset(gallery::page_of_asset(Theme::Auto, row, (Vec::new(), Vec::new())));
    let said = "It is not stale, but orders above it is.";
    assert!(page.text().contains(said), "{}", page.text());
}

#[test]
fn the_page_of_an_asset_names_the_partition_that_was_tried_last_in_vain() {
    let tried = Try {
        run: samples::failed_run().run_id,
        status: StepStatus::Skipped,
        at: samples::now(),
        error: None,
        blocked_by: None,
        skipped: Some("no rows today".to_owned()),
    };
    let words = "Its last try of partition jfk was skipped, in run ";
    for history in [0, 12] {
        let row = samples::assets().remove(2);
        let mut page = gallery::page_of_asset(Theme::Auto, row, (Vec::new(), Vec::new()));
        page.in_vain = vec![("jfk".parse().unwrap(), tried.clone())];
        page.history.truncate(history);
        page.asset.latest.take_if(|_| history == 0);
        let page = asset(page).text().to_owned();
        assert!(page.contains(words) && page.contains(": no rows today."), "{page}");
    }
}

#[test]
fn a_check_that_did_not_pass_stands_on_the_page_of_its_asset_and_in_the_list() {
    let failed = FailedCheck {
        check: "full".to_owned(),
        severity: CheckSeverity::Error,
        partition: None,
        at: samples::materialization(0).at,
        run_id: samples::run_id(3),
        description: Some("3 rows".to_owned()),
    };
    let row = AssetRow { failed_checks: vec![failed], ..samples::assets().remove(0) };
    let page = gallery::page_of_asset(Theme::Auto, row.clone(), (Vec::new(), Vec::new()));
    let list = AssetsPage { frame: page.frame.clone(), now: page.now, assets: vec![row] };
    let (page, list) = (asset(page), assets(list));
    assert!(page.text().contains("Its check full did not pass."), "{}", page.text());
    let told = format!("check full did not pass, in run {}: 3 rows", samples::run_id(3).short());
    assert!(page.text().contains(&told), "{}", page.text());
    assert!(list.text().contains("Checks: 1 failed"), "{}", list.text());
}

#[test]
fn of_a_broken_file_the_first_page_names_what_keeps_it_from_being_live() {
    let mut page = gallery::now_page(Theme::Dark);
    let file = page.files.iter_mut().find(|file| file.state.is_broken()).unwrap();
    let warning = Diagnostic {
        severity: Severity::Warning,
        message: "the project has no file `nothere.sh`".to_owned(),
        ..file.diagnostics[0].clone()
    };
    let error = "Unknown key".to_owned();
    file.diagnostics[0].message.clone_from(&error);
    file.diagnostics.insert(0, warning);
    let html = now(page);
    let text = html.text();
    assert!(text.contains(&error) && !text.contains("nothere.sh"), "{text}");
}

#[test]
fn broken_files_stand_before_failed_runs_and_what_is_hidden_is_counted_by_its_kind() {
    let page = gallery::now_page(Theme::Dark);
    let runs = vec![crate::samples::failed_run(); 10];
    let broken = page.files.iter().find(|file| file.state.is_broken()).unwrap().clone();
    let files = vec![broken.clone(); 5];
    let html = now(NowPage { attention: runs, files, schedules: Vec::new(), ..page });
    let text = html.text();
    assert!(text.contains("15 need attention"), "{text}");
    let first = text.find(&broken.name).unwrap();
    assert!(first < text.find(&crate::samples::failed_run().run_id.to_string()).unwrap());
    assert!(
        text.contains(">1 more file</a>") && text.contains(">2 more failed runs</a>"),
        "{text}"
    );
}

#[test]
fn the_page_of_definitions_says_which_folder_is_read() {
    let pages = gallery::all(Theme::Auto);
    let (_, page) = pages.iter().find(|(name, _)| *name == "definitions").unwrap();
    assert!(page.text().contains("Read from <code>/project/dags</code>."), "{}", page.text());
}

#[test]
fn what_ticks_and_failed_at_its_last_tick_needs_attention_while_it_is_on() {
    let failed = schedule_samples::ticks().remove(2);
    let schedules = |failed: &TickRow| {
        let row = |row| ScheduleRow { last_tick: Some(failed.clone()), ..row };
        schedule_samples::rows().into_iter().map(row).collect()
    };
    let page = |schedules, sensors| {
        let nothing = (Vec::new(), Vec::new(), Vec::new());
        let (attention, runs, files) = nothing;
        let all = gallery::now_page(Theme::Dark);
        now(NowPage { attention, runs, files, schedules, sensors, ..all })
    };
    let on = page(schedules(&failed), vec![sensor(true, &failed)]);
    let said = "its last tick failed: Invalid partition key format: broken";
    assert!(on.text().contains("2 need attention") && on.text().contains(said), "{}", on.text());
    let fine = schedule_samples::ticks().remove(0);
    let off = page(schedules(&fine), vec![sensor(false, &failed)]);
    assert!(off.text().contains("Nothing needs attention"), "{}", off.text());
}

#[test]
fn a_step_that_was_lost_with_its_worker_says_so_in_the_chart_of_its_run() {
    let words = "lost with its worker, and done again by the next";
    let lost = StepRow {
        status: StepStatus::Retrying,
        retry_at: None,
        reason: Some(words.to_owned()),
        ..samples::steps().remove(0)
    };
    let run = RunRow { status: RunStatus::Queued, ..samples::running_run() };
    let chart = |step: &StepRow| {
        Gantt::new(&run, std::slice::from_ref(step), "/jfk/runs/x", samples::now()).to_string()
    };
    assert!(chart(&lost).contains(words), "{}", chart(&lost));
    let soon = samples::now().after(std::time::Duration::from_secs(5));
    let waits = StepRow { retry_at: Some(soon), ..lost.clone() };
    assert!(!chart(&waits).contains(words), "{}", chart(&waits));
    let due = StepRow { retry_at: Some(samples::now()), ..lost };
    assert!(chart(&due).contains(words), "{}", chart(&due));
}

#[test]
fn the_page_of_a_run_that_starts_or_is_canceled_says_what_keeps_it_back() {
    let said = |status| {
        let waits = Some("its worker is silent".to_owned());
        let run = RunRow { status, waits, hold: None, ..samples::running_run() };
        gallery::page_of((run, None), Theme::Auto).text().to_owned()
    };
    let starts = said(RunStatus::Starting);
    assert!(starts.contains(" — its worker is silent."), "{starts}");
    let stops = said(RunStatus::Canceling);
    assert!(stops.contains("waiting for steps to stop; its worker is silent."), "{stops}");
}

#[test]
fn a_row_of_the_first_page_about_a_broken_file_leads_to_that_file() {
    let page = gallery::now_page(Theme::Dark);
    let broken = page.files.iter().find(|file| file.state.is_broken()).unwrap().name.clone();
    let way = format!("href=\"{}\">{broken}</a>", link::file(&samples::tenant(), &broken));
    let html = now(page);
    assert!(html.text().contains(&way), "{}", html.text());
}

#[test]
fn the_page_of_a_run_offers_what_may_be_done_with_it_and_says_that_a_retry_keeps_its_plan() {
    let page = |run| gallery::page_of((run, None), Theme::Auto).text().to_owned();
    let good = page(samples::run(0));
    assert!(!good.contains("run retry") && !good.contains("cancel"), "{good}");
    let going = page(samples::running_run());
    assert!(going.contains("run cancel") && !going.contains("run retry"), "{going}");
    let failed = page(samples::failed_run());
    assert!(failed.contains("run retry") && !failed.contains("cancel"), "{failed}");
    assert!(failed.contains("What succeeded is kept, and so is its plan"), "{failed}");
}

#[test]
fn the_page_of_a_file_offers_no_way_to_a_version_that_there_is_not() {
    let offers = |count, state| {
        let number = Some(count).filter(|count| *count > 0);
        let shown = FileRow { state, number, pin: None, ..samples::files().remove(0) };
        let page = gallery::file_of(Theme::Auto, shown, count);
        let has = |word: &str| page.text().contains(&format!("definitions {word} "));
        (has("diff"), has("rollback"))
    };
    for count in [0, 1] {
        assert_eq!(offers(count, FileState::Live), (false, false), "{count}");
    }
    assert_eq!(offers(2, FileState::Live), (true, true));
    assert_eq!(offers(2, FileState::Deleted), (true, false));
}

#[test]
fn the_list_of_assets_marks_and_counts_those_that_are_stale() {
    let page = |is_stale| {
        let mut rows = samples::assets();
        rows[0].is_stale = is_stale;
        let (frame, now) = (samples::frame(Section::Assets, Theme::Auto), samples::now());
        assets(AssetsPage { frame, now, assets: rows }).text().to_owned()
    };
    let stale = page(Some(true));
    assert!(stale.contains("built · 1 failed · 1 stale") && stale.contains(">Stale<"), "{stale}");
    assert!(!page(Some(false)).to_lowercase().contains("stale"));
    let unknown = page(None);
    assert!(unknown.contains("1 failed · 1 whose page says whether it is stale"), "{unknown}");
}

#[test]
fn the_list_of_assets_says_whose_last_try_failed_and_which_that_are_not_all_built_are_stale() {
    let mut rows = samples::assets();
    rows.truncate(2);
    let tried = FailedTry { run_id: samples::run_id(3), at: samples::now() };
    for row in &mut rows {
        row.failed_try = Some(tried);
    }
    assert_eq!(rows.iter().map(|row| badge(row).word).collect::<Vec<_>>(), ["Failed"; 2]);
    let mut part = AssetRow { failed_try: None, is_stale: Some(true), ..rows[0].clone() };
    part.counts = [(PartitionState::Missing, 1), (PartitionState::Materialized, 2)].into();
    assert_eq!(badge(&part).word, "Partly built");
    let (frame, now) = (samples::frame(Section::Assets, Theme::Auto), samples::now());
    rows.push(part);
    let page = assets(AssetsPage { frame, now, assets: rows }).text().to_owned();
    assert!(page.contains("of 3 assets built · 2 failed · 1 stale"), "{page}");
    assert!(page.contains(">Partly built<") && page.contains("Stale</span>"), "{page}");
}
