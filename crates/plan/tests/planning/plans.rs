//! What is planned from a manifest, and how a request that cannot be planned is answered.

use std::collections::BTreeMap;

use millstream_model::partitions::{Cadence, DynamicPartitions, TimeWindowPartitions};
use millstream_model::{
    Builtin, ErrorCode, FileManifest, FolderIo, HandlerDef, HandlerTarget, InputSource, IoDef,
    JobShape, LocalStep, Manifest, OpDef, PartitionsDef, ResourceDef, RetryPolicy, RunPlan,
    SqlStep, StepConfig, TenantDef, Timestamp,
};
use millstream_plan::{
    PartitionChoice, PlanError, plan_assets, plan_job, plan_selection, tenant_of,
};

use crate::{asset, job, manifest, op, tenant};

fn ops_job(ops: Vec<OpDef>) -> Manifest {
    manifest(&FileManifest { jobs: vec![job("etl", JobShape::Ops(ops))], ..Default::default() })
}

fn plan_etl(ops: Vec<OpDef>) -> Result<RunPlan, PlanError> {
    plan_job(&ops_job(ops), &tenant(), &"etl".parse().unwrap(), None)
}

fn keys(plan: &RunPlan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.key.as_str()).collect()
}

#[test]
fn r166_steps_follow_what_they_depend_on_and_otherwise_the_file() {
    let ops =
        vec![op("load", &["b", "a"]), op("b", &["start"]), op("a", &["start"]), op("start", &[])];
    let plan = plan_etl(ops).unwrap();
    assert_eq!(keys(&plan), ["start", "b", "a", "load"]);
}

#[test]
fn r166_a_dependency_written_twice_counts_once() {
    let plan = plan_etl(vec![op("a", &[]), op("b", &["a", "a"])]).unwrap();
    assert_eq!(plan.steps[1].depends_on.len(), 1);
    let once = plan_etl(vec![op("a", &[]), op("b", &["a"])]).unwrap();
    assert_eq!(plan, once);
}

#[test]
fn a_circle_and_a_dependency_on_nothing_are_named() {
    let circle = plan_etl(vec![op("a", &["b"]), op("b", &["a"]), op("c", &[])]).unwrap_err();
    assert_eq!(circle.code(), ErrorCode::DefinitionCycle);
    assert_eq!(circle.to_string(), "steps depend on each other in a circle: `a`, `b`");
    let nothing = plan_etl(vec![op("a", &["z"])]).unwrap_err();
    assert_eq!(nothing.code(), ErrorCode::DefinitionReference);
}

#[test]
fn ten_thousand_steps_in_one_chain_are_planned() {
    let names: Vec<String> = (0..10_000).map(|i| format!("s{i}")).collect();
    let ops = names
        .iter()
        .enumerate()
        .rev()
        .map(|(i, name)| match i {
            0 => op(name, &[]),
            i => op(name, &[&names[i - 1]]),
        })
        .collect();
    let plan = plan_etl(ops).unwrap();
    assert_eq!(keys(&plan), names);
}

#[test]
fn a_local_step_takes_its_handler_along_and_one_without_is_planned_all_the_same() {
    let local = |module: &str| {
        StepConfig::Local(LocalStep { module: module.to_owned(), config: serde_json::Map::new() })
    };
    let ops = vec![
        OpDef { step: local("Known.A"), ..op("known", &[]) },
        OpDef { step: local("Other"), ..op("unknown", &[]) },
    ];
    let handler =
        HandlerDef { pattern: "Known.*".to_owned(), target: HandlerTarget::Builtin(Builtin::Echo) };
    let file = FileManifest {
        jobs: vec![job("etl", JobShape::Ops(ops))],
        handlers: vec![handler.clone()],
        ..Default::default()
    };
    let plan = plan_job(&manifest(&file), &tenant(), &"etl".parse().unwrap(), None).unwrap();
    assert_eq!(plan.steps[0].handler, Some(handler));
    assert_eq!(plan.steps[1].handler, None);
    assert_eq!(plan.steps[0].retry, RetryPolicy::NEVER);
}

#[test]
fn the_resources_that_steps_name_are_frozen_into_the_plan() {
    let sql = SqlStep {
        resource: "db".parse().unwrap(),
        statements: Vec::new(),
        read: BTreeMap::new(),
        params: BTreeMap::new(),
        rows: false,
        read_only: false,
    };
    let ops = vec![OpDef { step: StepConfig::Sql(sql), ..op("a", &[]) }];
    let sqlite = |path: &str| ResourceDef::Sqlite { path: path.to_owned() };
    let file = FileManifest {
        jobs: vec![job("etl", JobShape::Ops(ops))],
        resources: [("db", sqlite("a.db")), ("other", sqlite("b.db"))]
            .map(|(name, def)| (name.parse().unwrap(), def))
            .into(),
        ..Default::default()
    };
    let plan = plan_job(&manifest(&file), &tenant(), &"etl".parse().unwrap(), None).unwrap();
    assert_eq!(plan.resources, [("db".parse().unwrap(), sqlite("a.db"))].into());
}

#[test]
fn an_unknown_job_is_answered_with_the_jobs_there_are() {
    let error = plan_job(&ops_job(vec![op("a", &[])]), &tenant(), &"etll".parse().unwrap(), None)
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::JobUnknown);
    assert_eq!(error.to_string(), "no job is called `etll`; did you mean `etl`? There are `etl`");
}

#[test]
fn an_undeclared_tenant_and_a_disabled_one_are_refused() {
    let mut all = ops_job(vec![op("a", &[])]);
    all.tenants
        .insert("closed".parse().unwrap(), TenantDef { enabled: false, ..TenantDef::default() });
    let plan =
        |id: &str| plan_job(&all, &id.parse().unwrap(), &"etl".parse().unwrap(), None).unwrap_err();
    assert_eq!(plan("tenant_x").to_string(), "Unknown tenant: tenant_x");
    assert_eq!(plan("tenant_x").code(), ErrorCode::TenantUnknown);
    assert_eq!(plan("closed").code(), ErrorCode::TenantDisabled);
}

/// `raw` → `clean` → `report`, where `raw` is made elsewhere; the others are partitioned by `by`.
fn partitioned(by: &[(&str, PartitionsDef)], raw_by: Option<&str>) -> Manifest {
    let named = |name: &str| name.parse().unwrap();
    let lake = IoDef::Csv(FolderIo { base: "lake".to_owned() });
    let mut raw = asset("raw", &[]);
    raw.step = None;
    raw.partitions = raw_by.map(|name| name.parse().unwrap());
    let mut clean = asset("clean", &["raw"]);
    let mut report = asset("report", &["clean", "raw"]);
    clean.io = Some("lake".parse().unwrap());
    if let Some((name, _)) = by.first() {
        clean.partitions = Some(named(name));
        report.partitions = Some(named(name));
    }
    manifest(&FileManifest {
        assets: vec![raw, clean, report],
        partitions: by.iter().map(|(name, def)| (named(name), def.clone())).collect(),
        io: [("lake".parse().unwrap(), lake)].into(),
        jobs: vec![job("refresh", JobShape::Select("clean+".to_owned()))],
        tenants: [("jfk", true), ("lga", true), ("closed", false)]
            .map(|(id, enabled)| {
                (id.parse().unwrap(), TenantDef { enabled, ..TenantDef::default() })
            })
            .into(),
        ..Default::default()
    })
}

fn by_tenant() -> PartitionsDef {
    PartitionsDef::Dynamic(DynamicPartitions {
        dimensions: ["tenant", "grain", "metric"].map(|name| name.parse().unwrap()).into(),
        separator: "::".to_owned(),
        tenant: Some("tenant".parse().unwrap()),
        keys: ["jfk::day::flights", "lga::day::flights"].map(|key| key.parse().unwrap()).into(),
    })
}

fn by_day() -> PartitionsDef {
    PartitionsDef::TimeWindow(TimeWindowPartitions {
        cadence: Cadence::Daily,
        start: "2025-07-01".to_owned(),
        end: None,
        timezone: "UTC".to_owned(),
        format: None,
    })
}

/// Midnight of 2025-07-10.
fn now() -> Timestamp {
    Timestamp::from_micros(1_752_105_600_000_000)
}

fn choice(key: &str) -> PartitionChoice {
    PartitionChoice::new(key.parse().unwrap(), now())
}

fn refresh(all: &Manifest, tenant: &str, key: Option<&str>) -> Result<RunPlan, PlanError> {
    let choice = key.map(choice);
    plan_job(all, &tenant.parse().unwrap(), &"refresh".parse().unwrap(), choice.as_ref())
}

#[test]
fn r034_a_run_of_assets_is_about_one_partition_and_reads_the_same_of_its_upstream() {
    let all = partitioned(&[("keys", by_tenant())], None);
    let plan = refresh(&all, "jfk", Some("jfk::day::flights")).unwrap();
    assert_eq!(keys(&plan), ["clean", "report"]);
    assert_eq!(plan.job, Some("refresh".parse().unwrap()));
    assert_eq!(plan.dimensions.get("metric").map(String::as_str), Some("flights"));

    let report = plan.steps[1].asset.as_ref().unwrap();
    assert_eq!(plan.steps[1].depends_on, ["clean".parse().unwrap()]);
    assert_eq!(report.partition, plan.partition);
    let [clean, raw] = report.inputs.as_slice() else { panic!("{:?}", report.inputs) };
    assert_eq!(clean.partition, plan.partition);
    assert!(matches!(clean.source, InputSource::Io(_)));
    assert_eq!((raw.partition.clone(), &raw.source), (None, &InputSource::None));
}

#[test]
fn r034_an_unknown_key_is_answered_with_near_ones_and_nothing_is_planned() {
    let all = partitioned(&[("keys", by_tenant())], None);
    let mut asked = choice("jfk::day::fligths");
    asked.near = vec!["jfk::week::flights".parse().unwrap()];
    let plan = |asked: &PartitionChoice| {
        plan_assets(&all, &"jfk".parse().unwrap(), &["clean".parse().unwrap()], Some(asked))
    };
    let error = plan(&asked).unwrap_err();
    assert_eq!(error.code(), ErrorCode::PartitionUnknown);
    assert_eq!(
        error.to_string(),
        "there is no partition `jfk::day::fligths` in `keys`; near it are `jfk::day::flights`, \
         `jfk::week::flights`; `millstream partition list keys` lists them"
    );
    asked.added.insert(asked.key.clone());
    assert!(plan(&asked).is_ok(), "the store has added it");
}

#[test]
fn a_day_that_is_not_over_has_no_partition_yet() {
    let all = partitioned(&[("days", by_day())], None);
    assert!(refresh(&all, "jfk", Some("2025-07-09")).is_ok());
    let error = refresh(&all, "jfk", Some("2025-07-10")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no partition `2025-07-10` in `days` before its window ends, at \
         2025-07-11T00:00:00Z; near it are `2025-07-09`; `millstream partition list days` lists them"
    );
    let error = refresh(&all, "jfk", Some("1999-12-31")).unwrap_err().to_string();
    assert!(error.contains("in `days`; near it are"), "{error}");
}

#[test]
fn r031_a_key_without_the_form_is_refused_with_the_fixed_words_and_shows_the_form() {
    let said = |name: &str, def: PartitionsDef, key: &str| {
        let all = partitioned(&[(name, def)], None);
        let error = refresh(&all, "jfk", Some(key)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::PartitionKey);
        error.to_string()
    };
    assert_eq!(
        said("keys", by_tenant(), "broken"),
        "Invalid partition key format: broken; keys of `keys` look like `tenant::grain::metric`"
    );
    assert_eq!(
        said("days", by_day(), "9.7.2025"),
        "Invalid partition key format: 9.7.2025; keys of `days` look like `2025-07-09`"
    );
}

#[test]
fn r035_a_partition_belongs_to_the_tenant_in_its_key_and_to_no_other() {
    let all = partitioned(&[("keys", by_tenant())], None);
    let owner = |key: &str| tenant_of(&all, &"keys".parse().unwrap(), &key.parse().unwrap());
    assert_eq!(owner("jfk::day::x"), Ok(Some("jfk".parse().unwrap())));
    assert_eq!(owner("ord::day::x").unwrap_err().to_string(), "Unknown tenant: ord");
    assert_eq!(owner("a b::day::x").unwrap_err().to_string(), "Unknown tenant: a b");
    assert_eq!(owner("closed::day::x").unwrap_err().code(), ErrorCode::TenantDisabled);

    let error = refresh(&all, "jfk", Some("lga::day::flights")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "partition `lga::day::flights` belongs to tenant `lga`, and this was asked of `jfk`"
    );
}

#[test]
fn a_partition_is_named_exactly_when_something_is_partitioned() {
    let missing = refresh(&partitioned(&[("days", by_day())], None), "jfk", None).unwrap_err();
    assert_eq!(missing.code(), ErrorCode::PartitionNeeded);
    assert!(missing.to_string().contains("`clean` is partitioned by `days`"));

    let whole = refresh(&partitioned(&[], None), "jfk", Some("2025-07-01")).unwrap_err();
    assert_eq!(whole.code(), ErrorCode::PartitionNeeded);
    let ops = ops_job(vec![op("a", &[])]);
    let key = choice("x");
    assert!(plan_job(&ops, &tenant(), &"etl".parse().unwrap(), Some(&key)).is_err());
}

#[test]
fn an_upstream_that_is_divided_differently_is_refused_with_both_names() {
    let both = [("days", by_day()), ("keys", by_tenant())];
    let differ = refresh(&partitioned(&both, Some("keys")), "jfk", Some("2025-07-01")).unwrap_err();
    assert_eq!(differ.code(), ErrorCode::PartitionMapping);
    assert_eq!(
        differ.to_string(),
        "`clean` (partitioned by `days`) cannot tell which partition of `raw` (partitioned by \
         `keys`) it reads; give both the same partitions"
    );
    let mut whole = partitioned(&both, Some("keys"));
    for def in whole.assets.values_mut().filter(|def| def.step.is_some()) {
        def.partitions = None;
    }
    let error = refresh(&whole, "jfk", None).unwrap_err();
    assert!(error.to_string().starts_with("`clean` (not partitioned) cannot tell"));

    let mut two = partitioned(&both, None);
    two.assets.get_mut(&"report".parse().unwrap()).unwrap().partitions =
        Some("keys".parse().unwrap());
    let error = refresh(&two, "jfk", Some("2025-07-01")).unwrap_err();
    assert!(error.to_string().contains("one run makes one partition"));
}

#[test]
fn r060_an_unknown_asset_is_answered_with_the_choices() {
    let all = partitioned(&[], None);
    let error = plan_selection(&all, &"jfk".parse().unwrap(), "clear", None).unwrap_err();
    assert_eq!(error.code(), ErrorCode::AssetUnknown);
    assert_eq!(
        error.to_string(),
        "no asset is called `clear`; did you mean `clean`? There are `clean`, `raw`, `report`"
    );
}

#[test]
fn a_selection_of_nothing_that_can_be_made_is_refused() {
    let all = partitioned(&[], None);
    for text in ["raw", "group:none"] {
        let error = plan_selection(&all, &"jfk".parse().unwrap(), text, None).unwrap_err();
        assert_eq!(error.code(), ErrorCode::SelectionEmpty, "{text}");
        assert!(error.to_string().contains(text));
    }
}

#[test]
fn the_code_version_is_the_authors_word_or_changes_with_the_definition() {
    let version = |all: &Manifest| {
        let plan = refresh(all, "jfk", None).unwrap();
        plan.steps[0].asset.as_ref().unwrap().code_version.clone()
    };
    let mut all = partitioned(&[], None);
    let before = version(&all);
    assert_eq!(version(&all), before);
    let clean = "clean".parse().unwrap();
    all.assets.get_mut(&clean).unwrap().description = Some("changed".to_owned());
    assert_ne!(version(&all), before);
    all.assets.get_mut(&clean).unwrap().code_version = Some("v7".to_owned());
    assert_eq!(version(&all), "v7");
}

#[test]
fn a_plan_reads_back_from_its_json() {
    let all = partitioned(&[("keys", by_tenant())], None);
    let plan = refresh(&all, "jfk", Some("jfk::day::flights")).unwrap();
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<RunPlan>(&json).unwrap(), plan);
}
