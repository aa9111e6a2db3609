//! Dynamic partitions: added and removed, and whose they are.

use millstream_model::{FileManifest, PartitionKey, PartitionsDef, PartitionsName, TenantId};

use crate::bench::Bench;
use crate::launch::airports;

fn keys(texts: &[&str]) -> Vec<PartitionKey> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn name() -> PartitionsName {
    "by_airport".parse().unwrap()
}

async fn of(bench: &Bench, tenant: &str) -> Vec<PartitionKey> {
    let tenant: TenantId = tenant.parse().unwrap();
    bench.control.partition_keys(&tenant, &name(), ("", ""), 100).await.unwrap()
}

#[tokio::test]
async fn adding_and_removing_keys_twice_is_doing_it_once() {
    let bench = Bench::of(airports()).await;
    let jfk = "jfk".parse().unwrap();
    let (a, both) = (keys(&["jfk::a"]), keys(&["jfk::a", "jfk::b"]));
    assert_eq!(bench.control.add_partitions(&jfk, &name(), &a).await.unwrap(), a);
    let new = bench.control.add_partitions(&jfk, &name(), &both).await.unwrap();
    assert_eq!(new, keys(&["jfk::b"]), "only what is new is told");
    assert_eq!(of(&bench, "jfk").await, both);

    assert_eq!(bench.control.remove_partitions(&jfk, &name(), &a).await.unwrap(), a);
    assert!(bench.control.remove_partitions(&jfk, &name(), &a).await.unwrap().is_empty());
    assert_eq!(of(&bench, "jfk").await, keys(&["jfk::b"]));
}

#[tokio::test]
async fn a_key_that_names_another_tenant_is_refused_with_all_the_others() {
    let bench = Bench::of(airports()).await;
    let jfk = "jfk".parse().unwrap();
    let mixed = keys(&["jfk::a", "lga::a"]);
    let refused = bench.control.add_partitions(&jfk, &name(), &mixed).await.unwrap_err();
    assert_eq!(refused.code().as_str(), "partition-key");
    assert!(of(&bench, "jfk").await.is_empty());
    assert!(of(&bench, "lga").await.is_empty(), "nobody has the right to lga here");
}

#[tokio::test]
async fn a_key_of_a_tenant_that_is_not_declared_is_refused_with_all_the_others() {
    let bench = Bench::of(airports()).await;
    let jfk = "jfk".parse().unwrap();
    let mixed = keys(&["jfk::a", "x::a"]);
    let refused = bench.control.add_partitions(&jfk, &name(), &mixed).await.unwrap_err();
    assert_eq!(refused.to_string(), "Unknown tenant: x");
    assert!(of(&bench, "jfk").await.is_empty());
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_with_those_that_are() {
    let bench = Bench::of(airports()).await;
    let jfk = "jfk".parse().unwrap();
    let (name, keys) = ("by_port".parse().unwrap(), keys(&["a"]));
    let refused = bench.control.add_partitions(&jfk, &name, &keys).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "there are no dynamic partitions called by_port (did you mean by_airport?); there are: by_airport"
    );
}

#[tokio::test]
async fn a_name_where_there_are_no_dynamic_partitions_is_refused_with_just_that() {
    let bench = Bench::of(FileManifest::default()).await;
    let (tenant, day) = (TenantId::default_tenant(), "day".parse().unwrap());
    let refused = bench.control.add_partitions(&tenant, &day, &keys(&["2026-01-01"])).await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "there are no dynamic partitions called day; no definition file declares any"
    );
}

#[tokio::test]
async fn no_key_is_added_to_partitions_that_stand_in_their_file() {
    let mut file = airports();
    let keys_of_file = PartitionsDef::Static { keys: keys(&["a", "b"]) };
    file.partitions.insert("fixed".parse().unwrap(), keys_of_file);
    let bench = Bench::of(file).await;
    let (jfk, fixed) = ("jfk".parse().unwrap(), "fixed".parse().unwrap());
    let refused = bench.control.add_partitions(&jfk, &fixed, &keys(&["c"])).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "there are no dynamic partitions called fixed; there are: by_airport"
    );
}

#[tokio::test]
async fn a_page_of_keys_has_what_is_asked_for_wherever_it_stands_in_its_file() {
    let mut file = airports();
    let fixed = PartitionsDef::Static { keys: keys(&["d", "c", "b", "a"]) };
    file.partitions.insert("fixed".parse().unwrap(), fixed);
    if let Some(PartitionsDef::Dynamic(def)) = file.partitions.get_mut(&name()) {
        def.keys = keys(&["lga::a", "lga::b", "jfk::a", "jfk::b"]);
    }
    let bench = Bench::of(file).await;
    let (jfk, fixed) = ("jfk".parse().unwrap(), "fixed".parse().unwrap());
    let page = async |name: &PartitionsName, part| {
        bench.control.partition_keys(&jfk, name, part, 2).await.unwrap()
    };
    assert_eq!(page(&fixed, ("", "")).await, keys(&["a", "b"]));
    assert_eq!(page(&fixed, ("b", "")).await, keys(&["c", "d"]));
    assert_eq!(page(&fixed, ("", "a")).await, keys(&["a"]));
    assert_eq!(page(&name(), ("", "")).await, keys(&["jfk::a", "jfk::b"]));
}

#[tokio::test]
async fn keys_of_a_tenant_that_takes_no_part_are_counted_behind_any_number_of_others() {
    let mut file = airports();
    if let Some(PartitionsDef::Dynamic(def)) = file.partitions.get_mut(&name()) {
        let others = (0..10_000).map(|n| format!("jfk::k{n}").parse().unwrap());
        def.keys = others.chain(keys(&["gone::a", "gone::b"])).collect();
    }
    let bench = Bench::of(file).await;
    let left_out = bench.control.left_out(&"jfk".parse().unwrap(), "*").await.unwrap();
    let told: Vec<&str> = left_out.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(told, ["2 keys of tenant gone are left out: the tenant is not declared"]);
}
