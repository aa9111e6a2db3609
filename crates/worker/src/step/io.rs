//! The IO managers and databases of an attempt: opened with templates resolved, and given up when
//! the run is canceled or the time is over.
//!
//! **Invariant.** A URL, which may hold a password, goes to the database's driver and nowhere else:
//! not into a log, an event or the context of a step.

use std::future::Future;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_io::sql_child::{self, ChildRequest};
use millstream_io::{
    Address, FileForm, IoError, IoSettings, Place, RunChild, Session, TableAnswer,
};
use millstream_model::{
    AssetKey, ErrorCode, InputSource, IoDef, PartitionKey, ResourceDef, ResourceName, StepInput,
};
use serde_json::{Value, json};

use super::attempt::{Attempt, Ending};
use super::process::no_folder;
use super::scratch::Scratch;
use super::template::Templates;
use super::unmade::no_place;
use crate::supervisor::ProcessSpec;

/// The exit code of the SQL child when its answer is a failure.
const ANSWERED: i32 = 1;

/// Runs work on SQLite files for IO managers, as a process of the attempt.
pub(super) struct Child<'a> {
    attempt: &'a Attempt<'a>,
    scratch: &'a Scratch,
    /// How the process ended when it left no answer.
    ending: Mutex<Option<Ending>>,
}

impl<'a> Child<'a> {
    pub(super) fn new(attempt: &'a Attempt<'a>, scratch: &'a Scratch) -> Self {
        Self { attempt, scratch, ending: Mutex::new(None) }
    }

    /// What `error` means for the attempt.
    pub(super) fn ending(&self, error: &IoError) -> Ending {
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner).take();
        ending.unwrap_or_else(|| Ending::failed(error.code(), error.message()))
    }
}

impl RunChild for Child<'_> {
    fn run(&self, request: ChildRequest) -> BoxFuture<'_, Result<TableAnswer, IoError>> {
        let answer = in_child(self.attempt, request, self.scratch);
        answer
            .map(|answer| {
                answer.map_err(|ending| {
                    *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
                    IoError::Interrupted
                })
            })
            .boxed()
    }
}

/// Has a child of this program do `request` on a SQLite file.
pub(super) async fn in_child<T: serde::de::DeserializeOwned>(
    attempt: &Attempt<'_>,
    request: ChildRequest,
    scratch: &Scratch,
) -> Result<T, Ending> {
    let (path, answer) = (scratch.request(), scratch.answer());
    let unusable = |path: &Path, error| {
        no_folder(path, &std::io::Error::other::<sql_child::ExchangeError>(error))
    };
    sql_child::write_request(&path, request, &answer).map_err(|error| unusable(&path, error))?;
    let (program, args) = attempt.worker.settings.sql_program.clone();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let spec = ProcessSpec {
        program: text(&program),
        args: args.into_iter().chain([text(&path)]).collect(),
        ..attempt.bare_process()
    };
    attempt.run_process(spec, |code| code == ANSWERED).await?;
    sql_child::read_answer(&answer).map_err(|error| unusable(&answer, error))
}

/// The resource is needed as a database, and is none.
pub(super) fn no_database(name: &ResourceName) -> Ending {
    let message =
        format!("resource `{name}` is no database; name one of kind `sqlite` or `postgres`");
    Ending::for_good(ErrorCode::StepResource, message)
}

impl Attempt<'_> {
    /// How servers know the attempt.
    pub(super) fn session(&self) -> Session {
        let owner = format!("{}/{}", self.assignment.run.short(), self.step.key);
        // The server's own limit is for the case that nobody is there any more to cancel.
        let limit = u64::try_from(self.timeout().as_millis()).unwrap_or(u64::MAX);
        Session { owner, statement_timeout_ms: Some(limit) }
    }

    /// The database `name` with its templates resolved.
    pub(super) fn database(
        &self,
        name: &ResourceName,
        templates: &Templates<'_>,
    ) -> Result<ResourceDef, Ending> {
        let Some(resource) = self.assignment.plan.resources.get(name) else {
            let message = format!("resource `{name}` is not declared under `resources`");
            return Err(Ending::for_good(ErrorCode::StepResource, message));
        };
        let render = |text: &str| templates.render_setting(text).map_err(Ending::ForGood);
        Ok(match resource {
            ResourceDef::Sqlite { path } => {
                let path = self.below_root(&render(path)?);
                ResourceDef::Sqlite { path: path.to_string_lossy().into_owned() }
            }
            ResourceDef::Postgres { url, schema } => ResourceDef::Postgres {
                url: render(url)?,
                schema: schema.as_deref().map(render).transpose()?,
            },
            ResourceDef::Http(_) => return Err(no_database(name)),
        })
    }

    /// What `io` says, with its templates resolved.
    pub(super) fn io_settings(
        &self,
        io: &IoDef,
        templates: &Templates<'_>,
    ) -> Result<IoSettings, Ending> {
        let render = |text: &str| templates.render_setting(text).map_err(Ending::ForGood);
        let folder = |form, base: &str| {
            Ok(IoSettings::Folder { form, base: self.below_root(&render(base)?) })
        };
        match io {
            IoDef::Json(io) => folder(FileForm::Json, &io.base),
            IoDef::Csv(io) => folder(FileForm::Csv, &io.base),
            IoDef::Table(io) => Ok(IoSettings::Table {
                resource: Box::new(self.database(&io.resource, templates)?),
                schema: io.schema.as_deref().map(render).transpose()?,
                columns: io.columns.clone(),
                session: self.session(),
            }),
        }
    }

    /// Where a result of this run's tenant is.
    pub(super) fn address(&self, asset: &AssetKey, partition: Option<&PartitionKey>) -> Address {
        Address {
            tenant: self.assignment.tenant.clone(),
            asset: asset.clone(),
            partition: partition.cloned(),
        }
    }

    /// What keeps the upstream asset `asset`, and under which address.
    pub(super) fn input(&self, asset: &AssetKey) -> Result<(&IoDef, Address), Ending> {
        let inputs = self.step.asset.iter().flat_map(|step| &step.inputs);
        let input = inputs.into_iter().find(|input| &input.asset == asset);
        match input.map(|input| (&input.source, &input.partition)) {
            Some((InputSource::Io(io), partition)) => {
                Ok((io, self.address(asset, partition.as_ref())))
            }
            Some((InputSource::None, _)) => Err(Ending::for_good(
                ErrorCode::StepInput,
                format!("asset {asset} has no `io`, so there is nothing to read; give it one"),
            )),
            None => Err(Ending::for_good(
                ErrorCode::StepInput,
                format!("asset {asset} is read and not among the step's `deps`; add it there"),
            )),
        }
    }

    /// Where an input is, for a program that reads it itself. A file has to be there, unless its
    /// asset need not be made.
    pub(super) async fn input_place(
        &self,
        io: &IoDef,
        input: &StepInput,
        templates: &Templates<'_>,
    ) -> Result<Value, Ending> {
        let nothing = || no_place(io, input.partition.as_ref());
        if self.unmade.contains_key(&input.asset) {
            return Ok(nothing());
        }
        let address = self.address(&input.asset, input.partition.as_ref());
        let settings = self.io_settings(io, templates)?;
        let manager = millstream_io::open(settings, &NoChild);
        let mut place = match manager.place(&address) {
            Place::File(path) => {
                // To ask for the rows of a file is to ask whether it is there.
                let there = self.within(manager.rows(&address, &path)).await?;
                match there {
                    Err(_) if input.optional => return Ok(nothing()),
                    Err(error) => return Err(Ending::failed(error.code(), error.message())),
                    Ok(_) => {}
                }
                json!({ "path": path.to_string_lossy() })
            }
            Place::Table { table, partition: _ } => {
                let quoted = table.quoted().map_err(|error| {
                    let message = format!("asset {} has no table: {error}", address.asset);
                    Ending::for_good(ErrorCode::StepInput, message)
                })?;
                json!({
                    "resource": io.resource(),
                    "schema": table.schema,
                    "table": table.table,
                    "sql_name": quoted,
                })
            }
        };
        if let Some(place) = place.as_object_mut() {
            place.insert("partition".to_owned(), json!(address.partition));
        }
        Ok(place)
    }

    /// Waits for work on a server, until the run is canceled or the attempt's time is over. Then
    /// the work is dropped, which cancels it there.
    pub(super) async fn bounded<T>(&self, work: impl Future<Output = T>) -> Result<T, Ending> {
        let work = async {
            // It is never closed, so there is a permit.
            let _place = self.worker.connections.acquire().await;
            work.await
        };
        // Such work is large, and is moved about until it is in its place.
        self.within(Box::pin(work)).await
    }
}

/// For asking where things are, which runs nothing.
struct NoChild;

impl RunChild for NoChild {
    fn run(&self, _: ChildRequest) -> BoxFuture<'_, Result<TableAnswer, IoError>> {
        std::future::ready(Err(IoError::Interrupted)).boxed()
    }
}
