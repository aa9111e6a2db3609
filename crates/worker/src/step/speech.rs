//! What an attempt tells its program through Pipes, and where the program's messages go.
//!
//! Every kind of step that runs programs of others opens its session here.

use std::collections::BTreeMap;

use millstream_blob::LogStream;
use millstream_model::{AssetStep, JobName, PipesConfig};
use serde_json::Map;

use super::attempt::{Attempt, Ending};
use super::context::Context;
use super::process::no_folder;
use super::scratch::Scratch;
use crate::pipes::{Channel, Facts, Partition, Session, Subject};

impl Attempt<'_> {
    /// Adds what a program needs to speak Pipes to `env`, and gives back the session that hears
    /// it; `None` where the definition has turned Pipes off.
    ///
    /// Run the program within [`Session::follow`]; [`Session::told`] is what it said.
    pub(super) fn open_pipes(
        &self,
        config: &PipesConfig,
        scratch: &Scratch,
        context: &Context,
        env: &mut BTreeMap<String, String>,
    ) -> Result<Option<Session>, Ending> {
        let asset = self.step.asset.as_ref();
        let channel = Channel {
            kind: config.messages,
            messages: scratch.messages(),
            context: scratch.pipes_context(),
            logs: [self.log(LogStream::Out), self.log(LogStream::Err)],
            clock: self.seams.clock.clone(),
            events: self.events.clone(),
        };
        let subject = Subject {
            step: self.step.key.clone(),
            attempt: self.number,
            asset: asset.map(|asset| asset.key.clone()),
            partition: asset.and_then(|asset| asset.partition.clone()),
            code_version: asset.map(|asset| asset.code_version.clone()).unwrap_or_default(),
        };
        let facts = self.facts(config, context, asset);
        Session::open(channel, subject, facts, env)
            .map_err(|error| no_folder(&scratch.messages(), &error))
    }

    fn facts<'a>(
        &'a self,
        config: &PipesConfig,
        context: &Context,
        asset: Option<&'a AssetStep>,
    ) -> Facts<'a> {
        let plan = &self.assignment.plan;
        let key = match asset {
            Some(asset) => asset.partition.as_ref(),
            None => plan.partition.as_ref(),
        };
        let window = asset.and_then(|asset| asset.window);
        // Not what the definitions say of the tenant: variables are printed more easily than files.
        let told = ["config", "trigger", "dimensions", "inputs"];
        let told = told.iter().filter_map(|name| context.json().get_key_value(*name));
        let mut extras: Map<_, _> =
            told.map(|(name, value)| (name.clone(), value.clone())).collect();
        extras.insert("tenant".to_owned(), plan.tenant.to_string().into());
        extras.extend(config.extras.clone());
        Facts {
            run: self.assignment.run.to_string(),
            job: plan.job.as_ref().map(JobName::as_str),
            attempt: self.number,
            asset,
            partition: key.map(|key| Partition { key, window }),
            extras,
        }
    }
}
