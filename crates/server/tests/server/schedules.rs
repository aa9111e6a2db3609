//! Schedules in pages and over the API.

use std::time::Duration;

use axum::http::StatusCode;
use millstream_control::TickWatch;
use millstream_model::CatchUp;
use millstream_model::view::{JobRow, ScheduleRow, TicksPassed, TicksWaiting};
use millstream_server::frame::{Section, Theme};
use millstream_server::pages::automation::{AutomationPage, automation};
use millstream_server::pages::job::{JobPage, job};
use millstream_server::pages::now::{NowPage, now};
use millstream_server::pages::schedule::SchedulePage;
use serde_json::{Value, json};

use crate::instance::{Instance, manifest};
use crate::{gallery, samples, schedule_samples};

#[test]
fn r032_the_page_of_a_schedule_says_why_each_tick_had_no_run() {
    let pages = gallery::all(Theme::Auto);
    let (_, page) = pages.iter().find(|(name, _)| *name == "schedule").unwrap();
    for words in [
        "1 of its runs was under way (max_active_runs: 1)",
        "Invalid partition key format: broken",
        "stopped by ana; the file says on",
        "Follow the file",
        "under the run key jfk_flights_day_20260602",
    ] {
        assert!(page.text().contains(words), "{words}");
    }
}

/// An instance with a schedule `hourly` that has ticked once, if its daemon has seen it.
async fn instance() -> Instance {
    let instance = Instance::empty(millstream_model::Caller::loopback_developer()).await;
    let mut file = manifest();
    file.schedules = serde_json::from_value(json!([{
        "name": "hourly", "cron": {"text": "@hourly"}, "timezone": "Europe/London",
        "target": {"job": "production/daily etl"}, "enabled": {"fixed": true},
    }]))
    .unwrap();
    instance.load(file).await;
    let mut watch = TickWatch::default();
    let pass = instance.control.tick_schedules("one", &mut watch, Duration::from_secs(15)).await;
    assert!(pass.unwrap().is_holder);
    instance
}

#[tokio::test]
async fn r032_the_api_shows_the_next_times_in_utc_and_on_the_schedules_clock() {
    let instance = instance().await;
    let base = "/jfk/api/v1/schedules";
    let all: Value = instance.get(base).await.json();
    assert_eq!(all[0]["name"], "hourly");
    let preview: Value = instance.get(&format!("{base}/hourly/preview?n=3")).await.json();
    let fires = preview["fires"].as_array().unwrap();
    assert_eq!((fires.len(), &preview["timezone"]), (3, &json!("Europe/London")));
    assert_eq!(fires[0]["at"], all[0]["next_at"]);
    let ticks: Value = instance.get(&format!("{base}/hourly/ticks")).await.json();
    assert_eq!(ticks, json!([]));
}

#[tokio::test]
async fn a_schedule_is_stopped_started_and_given_back_to_its_file() {
    let instance = instance().await;
    let path = "/jfk/api/v1/schedules/hourly/switch";
    let stopped = instance.post(path, &json!({ "to": "off" })).await.json();
    assert_eq!((&stopped["enabled"], &stopped["next_at"]), (&json!(false), &Value::Null));
    assert_eq!(stopped["enabled_override"]["on"], false);
    let back = instance.post(path, &json!({ "to": "file" })).await.json();
    assert_eq!((&back["enabled"], &back["enabled_override"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn a_test_of_a_tick_names_its_request_and_leaves_no_run() {
    let instance = instance().await;
    let path = "/jfk/api/v1/schedules/hourly/test";
    let body = json!({ "nominal": "2026-06-01T03:00:00Z" });
    let test = instance.post(path, &body).await.json();
    assert_eq!(test["requests"][0]["run_key"], "2026-06-01T03:00:00Z");
    let runs = instance.get("/jfk/api/v1/runs").await.json();
    assert_eq!(runs.as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn an_unknown_schedule_is_not_found_and_names_the_nearest() {
    let instance = instance().await;
    let heard = instance.get("/jfk/api/v1/schedules/hourli").await;
    assert_eq!(heard.status, StatusCode::NOT_FOUND);
    assert!(heard.text.contains("schedule-unknown") && heard.text.contains("did you mean hourly?"));
}

#[tokio::test]
async fn the_old_names_of_what_ticks_lead_people_to_the_new_ones_and_tell_programs() {
    let instance = Instance::empty(millstream_model::Caller::loopback_developer()).await;
    let mut file = manifest();
    file.schedules = serde_json::from_value(json!([{
        "name": "each hour", "cron": {"text": "@hourly"}, "timezone": "UTC",
        "target": {"job": "production/daily etl"}, "enabled": {"fixed": true},
        "renamed_from": "hourly",
    }]))
    .unwrap();
    file.sensors = serde_json::from_value(json!([{
        "name": "late", "question": {"kind": "run_status", "on": ["SUCCESS"]}, "every": "30s",
        "timeout": "1m", "enabled": {"fixed": true}, "renamed_from": "after",
    }]))
    .unwrap();
    instance.load(file).await;
    for (old, new) in [
        ("/jfk/schedules/hourly", "/jfk/schedules/each%20hour"),
        ("/jfk/sensors/after", "/jfk/sensors/late"),
        ("/jfk/why/hourly", "/jfk/why/each%20hour"),
    ] {
        let heard = instance.get(old).await;
        assert_eq!(heard.status, StatusCode::SEE_OTHER, "{old}: {}", heard.text);
        assert_eq!(heard.headers["location"], new);
        assert_eq!(instance.get(new).await.status, StatusCode::OK);
    }
    let heard = instance.get("/jfk/api/v1/schedules/hourly").await;
    assert_eq!(heard.status, StatusCode::NOT_FOUND);
    let error = &heard.json()["error"];
    assert_eq!(error["code"], "schedule-unknown");
    let words = "schedule hourly is now called each hour; use that name: `millstream schedule show \
                 'each hour'` shows it";
    assert_eq!(error["message"], words, "a broken file has nothing to do with it");
    let form = instance.form("/jfk/schedules/hourly/switch", "to=off").await;
    assert_eq!(form.status, StatusCode::NOT_FOUND, "nothing is switched by its old name");
}

/// The page of `schedule`, which would tick an hour from now.
fn page_of(schedule: ScheduleRow) -> String {
    let now = samples::now();
    let page = SchedulePage {
        frame: samples::frame(Section::Automation, Theme::Auto),
        now,
        schedule,
        ticks: Vec::new(),
        fires: vec![now.after(Duration::from_hours(1))],
        test: None,
    };
    millstream_server::pages::schedule::schedule(page).text().to_owned()
}

#[test]
fn the_page_says_that_a_schedule_is_late_and_shows_no_time_of_one_that_is_off_as_if_it_came() {
    let row = schedule_samples::rows().remove(0);
    let due = Some(samples::now().before(Duration::from_hours(1)));
    let late = page_of(ScheduleRow { next_at: due, late_since: due, ..row.clone() });
    assert!(late.contains("and is late: due 1h ago, and no daemon has let it tick"), "{late}");
    assert!(late.contains("<h2>Next times</h2>") && late.contains(">in 1h<"), "{late}");
    let waits = Some("a lease is held".to_owned());
    let held = page_of(ScheduleRow { next_at: due, late_since: due, waits, ..row.clone() });
    assert!(held.contains("no daemon has let it tick; a lease is held"), "{held}");
    let passed = Some(TicksPassed { count: 161, since: samples::now() });
    let row = ScheduleRow { enabled: false, next_at: None, ..row };
    let off = page_of(ScheduleRow { catch_up: CatchUp::All, passed, ..row.clone() });
    assert!(off.contains("<h2>Next times, if it were on</h2>"), "{off}");
    assert!(!off.contains("in 1h"), "{off}");
    assert!(off.contains("161 ticks from ") && off.contains("once it is switched on"), "{off}");
    let lapses = page_of(ScheduleRow { catch_up: CatchUp::Last, ..row });
    assert!(lapses.contains("what passes meanwhile lapses (catch_up: last)"), "{lapses}");
}

#[test]
fn the_page_says_how_many_ticks_wait_and_for_what() {
    let row = schedule_samples::rows().remove(0);
    for (active, words) in [
        (2, "wait for its runs, of which 2 are under way (max_active_runs: 1)"),
        (1, "wait for its runs, of which 1 is under way (max_active_runs: 1)"),
        (0, "wait for a daemon to decide them, with 0 of its runs under way"),
    ] {
        let since = samples::now();
        let waiting = Some(TicksWaiting { count: 30, since, active, limit: Some(1) });
        let behind = page_of(ScheduleRow { waiting, ..row.clone() });
        assert!(behind.contains(&format!("; 30 ticks from {since} on {words}")), "{behind}");
        let list = automation(AutomationPage {
            frame: samples::frame(Section::Automation, Theme::Auto),
            now: samples::now(),
            jobs: Vec::new(),
            schedules: vec![ScheduleRow { waiting, ..row.clone() }],
            sensors: Vec::new(),
        });
        let told = format!("\"30 ticks from {since} on {words}");
        assert!(list.text().contains(&told) && list.text().contains(">30 wait<"), "{told}");
        assert!(list.text().contains("c-when wrap\"><span title=\"30 ticks"), "it is shown whole");
    }
}

#[test]
fn what_the_file_says_of_a_schedule_and_nobody_can_evaluate_is_on_each_page() {
    let row = schedule_samples::rows().remove(0);
    let unclear = Some("the condition cannot be evaluated".to_owned());
    let row = ScheduleRow { enabled: false, enabled_override: None, next_at: None, unclear, ..row };
    let page = page_of(row.clone());
    let words = "; its `enabled` counts as off: the condition cannot be evaluated";
    assert!(page.contains(words), "{page}");
    let list = automation(AutomationPage {
        frame: samples::frame(Section::Automation, Theme::Auto),
        now: samples::now(),
        jobs: Vec::new(),
        schedules: vec![row],
        sensors: Vec::new(),
    });
    assert!(list.text().contains(">unclear<"), "{}", list.text());
    let pages = gallery::all(Theme::Auto);
    let (_, definitions) = pages.iter().find(|(name, _)| *name == "definitions").unwrap();
    assert!(definitions.text().contains("What does not tick in jfk"), "{}", definitions.text());
    assert!(definitions.text().contains("<b>schedule per_tenant</b>: its `cron` is"));
}

#[test]
fn a_late_schedule_whose_ticks_wait_says_since_when_and_when_the_next_is_due() {
    let row = schedule_samples::rows().remove(0);
    let since = samples::now().before(Duration::from_hours(1));
    let waiting = Some(TicksWaiting { count: 30, since, active: 0, limit: Some(1) });
    let next_at = Some(samples::now().after(Duration::from_hours(2)));
    let behind = ScheduleRow { next_at, late_since: Some(since), waiting, ..row };
    let list = automation(AutomationPage {
        frame: samples::frame(Section::Automation, Theme::Auto),
        now: samples::now(),
        jobs: Vec::new(),
        schedules: vec![behind.clone()],
        sensors: Vec::new(),
    });
    let text = list.text();
    let (_, cell) = text.split_once(">30 wait<").unwrap();
    let (cell, _) = cell.split_once("</td>").unwrap();
    let due = cell.find("late, due ").zip(cell.find("1h ago")).unwrap();
    let comes = cell.find("next ").zip(cell.find("in 2h")).unwrap();
    assert!(due < comes, "{cell}");
    let late = "is late: due 1h ago, and no daemon has let it tick; next in 2h; 30 ticks from";
    assert!(page_of(behind).contains(late));
}

#[test]
fn the_list_says_how_many_ticks_wait_for_a_schedule_that_is_off() {
    let row = schedule_samples::rows().remove(0);
    let since = samples::now().before(Duration::from_hours(1));
    let off = ScheduleRow {
        enabled: false,
        next_at: None,
        late_since: None,
        waiting: None,
        catch_up: CatchUp::All,
        passed: Some(TicksPassed { count: 13, since }),
        ..row
    };
    let words = off.off_words().unwrap();
    let list = automation(AutomationPage {
        frame: samples::frame(Section::Automation, Theme::Auto),
        now: samples::now(),
        jobs: Vec::new(),
        schedules: vec![off],
        sensors: Vec::new(),
    });
    let cell = format!("<span title=\"{words}\">13 wait</span></td>");
    assert!(list.text().contains(&cell), "{}", list.text());
}

#[test]
fn a_tick_that_is_about_to_be_decided_is_due_and_not_next() {
    let row = schedule_samples::rows().remove(0);
    let next_at = Some(samples::now().before(Duration::from_secs(2)));
    let page = page_of(ScheduleRow { next_at, late_since: None, ..row });
    assert!(page.contains(", due 2s ago"), "{page}");
}

#[test]
fn a_late_schedule_is_marked_in_each_list_and_on_the_page_of_its_job() {
    let row = schedule_samples::rows().remove(0);
    let due = Some(samples::now().before(Duration::from_hours(1)));
    for (late_since, is_marked) in [(due, true), (None, false)] {
        let row = ScheduleRow { next_at: due, late_since, ..row.clone() };
        let list = automation(AutomationPage {
            frame: samples::frame(Section::Automation, Theme::Auto),
            now: samples::now(),
            jobs: Vec::new(),
            schedules: vec![row.clone()],
            sensors: Vec::new(),
        });
        let first = now(NowPage { schedules: vec![row], ..gallery::now_page(Theme::Auto) });
        for page in [list, first] {
            assert_eq!(page.text().contains("late, due "), is_marked, "{}", page.text());
        }
        let marts = samples::jobs().remove(1);
        let page = job(JobPage {
            frame: samples::frame(Section::Automation, Theme::Auto),
            now: samples::now(),
            job: JobRow { next_at: due, late_since, ..marts },
            runs: Vec::new(),
            steps: Vec::new(),
        });
        assert_eq!(page.text().contains(", and is late: due 1h ago"), is_marked, "{}", page.text());
    }
}
