//! The commands about assets and their partitions.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum AssetCommand {
    /// Materialize a selection of assets and wait for the runs' end.
    Materialize {
        /// The selection, like `metric_semantic_values+` or `group:loader`.
        #[arg(value_name = "SELECT", required_unless_present = "select")]
        selection: Option<String>,
        /// The selection, as an option.
        #[arg(long, conflicts_with = "selection")]
        select: Option<String>,
        /// A partition; may be given more than once, one run each.
        #[arg(long = "partition")]
        partitions: Vec<String>,
        /// Every partition that exists.
        #[arg(long, conflicts_with = "partitions")]
        all_partitions: bool,
        /// In every enabled tenant.
        #[arg(long, conflicts_with = "tenant")]
        all_tenants: bool,
        /// Return as soon as the runs are queued.
        #[arg(long)]
        no_wait: bool,
    },
    /// Say that an asset, or one partition of it, was made elsewhere.
    Report {
        /// The asset's key.
        asset: String,
        /// The partition, of a partitioned asset.
        #[arg(long)]
        partition: Option<String>,
        /// What there is to say about it, as `name=value`; may be given more than once.
        #[arg(long)]
        metadata: Vec<String>,
        /// The version of its data.
        #[arg(long)]
        data_version: Option<String>,
        /// The version of the code that made it.
        #[arg(long)]
        code_version: Option<String>,
        /// What makes it the same report when it is sent again.
        #[arg(long)]
        key: Option<String>,
    },
    /// List the assets.
    List,
    /// Show an asset with its newest materializations and partitions.
    Show {
        /// The asset's key.
        key: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PartitionCommand {
    /// List the keys of a partitions definition.
    List {
        /// The partitions definition.
        name: String,
        /// Only keys that contain this text.
        #[arg(long, default_value = "")]
        contains: String,
        /// The key after which the list begins.
        #[arg(long, default_value = "")]
        after: String,
        /// How many at most.
        #[arg(long, default_value_t = 1_000, allow_negative_numbers = true)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Add keys; those that exist stay.
    Add {
        /// The partitions definition.
        name: String,
        /// The keys.
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Delete keys; their history stays.
    Delete {
        /// The partitions definition.
        name: String,
        /// The keys.
        #[arg(required = true)]
        keys: Vec<String>,
    },
}
