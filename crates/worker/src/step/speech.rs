//! What an attempt tells its program through Pipes, and where the program's messages go.
//!
//! Every kind of step that runs programs of others opens its session here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use millstream_blob::LogStream;
use millstream_model::view::CODE_ELSEWHERE;
use millstream_model::{AssetStep, JobName, PipesChannel, PipesConfig};
use serde_json::Value;

use super::attempt::{Attempt, Ending, Returned};
use super::context::Context;
use super::process::{no_folder, with_exception};
use super::python::Call;
use super::result;
use super::scratch::{RunScratch, Scratch};
use crate::pipes::{Channel, Facts, Partition, Session, Subject, Told};
use crate::supervisor::MessageTap;

/// What a function says while a process runs it that is not its own.
pub(super) struct Speech {
    session: Option<Session>,
    /// Where the file for messages is.
    files: Option<Scratch>,
}

impl Speech {
    /// The output that messages are to be taken out of, if they stand in one.
    pub(super) fn tapped(&self) -> Option<MessageTap> {
        self.session.as_ref().and_then(Session::tapped)
    }

    /// Listens until `end` has come, and then to what is left.
    pub(super) async fn follow<T>(&mut self, end: impl Future<Output = T>) -> T {
        match &mut self.session {
            Some(session) => session.follow(end).await,
            None => end.await,
        }
    }

    /// What the function said, once it has ended as `done` says.
    pub(super) fn told(self, done: &Result<Returned, Ending>, run: &RunScratch) -> Told {
        let told = self.session.map(|mut session| session.told()).unwrap_or_default();
        if let (Ok(_), Some(files)) = (done, self.files) {
            files.give_back(run);
        }
        told
    }
}

impl Attempt<'_> {
    /// Adds what a program needs to speak Pipes to `env`, and gives back the session that hears
    /// it; `None` where the definition has turned Pipes off.
    ///
    /// Run the program within [`Session::follow`]; [`Session::told`] is what it said.
    pub(super) fn open_pipes(
        &self,
        config: &PipesConfig,
        scratch: &mut Scratch,
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
            // An op says nothing of the code by which the step of an asset would make it.
            code_version: asset
                .map_or_else(|| CODE_ELSEWHERE.to_owned(), |asset| asset.code_version.clone()),
        };
        let facts = self.facts(config, context, asset)?;
        let path = scratch.messages();
        Session::open(channel, subject, &facts, || scratch.open_messages(), env)
            .map_err(|error| no_folder(&path, &error))
    }

    /// Adds what the function of `call` needs to speak Pipes to `env`.
    pub(super) fn speech(
        &self,
        call: &Call,
        env: &mut BTreeMap<String, String>,
    ) -> Result<Speech, Ending> {
        if call.pipes.messages == PipesChannel::Off {
            return Ok(Speech { session: None, files: None });
        }
        let mut files = self.scratch_files()?;
        let mut variables = BTreeMap::new();
        let session = self.open_pipes(&call.pipes, &mut files, &call.context, &mut variables)?;
        // What the author has set stays as it is.
        variables.retain(|name, _| !call.key.env.contains_key(name));
        env.append(&mut variables);
        Ok(Speech { session, files: Some(files) })
    }

    /// What came of a step, with what its program said on the way.
    pub(super) fn heed(
        &mut self,
        told: Told,
        done: Result<Returned, Ending>,
    ) -> Result<Returned, Ending> {
        self.has_made_asset = told.has_made_asset;
        let returned = done.map_err(|ending| with_exception(ending, &told))?;
        if let Some(exception) = &told.exception {
            self.say(&[format!("[pipes] closed with {}", exception.traceback)]);
        }
        match returned {
            Returned::Value(Value::Null) => Ok(result::returned(told.said.unwrap_or_default())),
            other => Ok(other),
        }
    }

    fn facts<'a>(
        &'a self,
        config: &'a PipesConfig,
        context: &'a Context,
        asset: Option<&'a AssetStep>,
    ) -> Result<Facts<'a>, Ending> {
        let plan = &self.assignment.plan;
        let key = match asset {
            Some(asset) => asset.partition.as_ref(),
            None => plan.partition.as_ref(),
        };
        let window = asset.and_then(|asset| asset.window);
        // Not what the definitions say of the tenant: variables are printed more easily than files.
        let told = ["config", "trigger", "dimensions", "inputs"];
        let told = told.into_iter().filter_map(|name| Some((name, context.json().get(name)?)));
        let mut extras: BTreeMap<_, _> =
            told.map(|(name, value)| (name, Cow::Borrowed(value))).collect();
        extras.insert("tenant", Cow::Owned(plan.tenant.as_str().into()));
        if !config.extras.is_empty() {
            let templates = context.templates();
            for (name, value) in &config.extras {
                let value = templates.render_json(value).map_err(Ending::ForGood)?;
                extras.insert(name.as_str(), Cow::Owned(value));
            }
        }
        Ok(Facts {
            run: self.assignment.run.to_string(),
            job: plan.job.as_ref().map(JobName::as_str),
            attempt: self.number,
            asset,
            provenance: asset.and_then(|asset| self.assignment.provenance.get(&asset.key)),
            partition: key.map(|key| Partition { key, window }),
            extras,
        })
    }
}
