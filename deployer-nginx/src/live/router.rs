//! One workload of an nginx that switches without a reload.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{InFlight, Member, Proof, RouterCapabilities, Split, TrafficView, WorkloadId},
    ports::{CallContext, Changes, Result, TrafficRouter},
};
use futures::stream;
use tokio::time::Instant;

use super::{
    accepted::Accepted,
    check,
    store::{self, Store, Turn},
    wire,
};
use crate::{
    choice::RouterKind,
    server::{ControlAnswer, Server},
};

/// How long nginx may keep a question for changes open, with a margin.
const WATCH: Duration = Duration::from_secs(30);

/// One workload of an nginx that switches without a reload: a little Lua in nginx picks the member of each request, and
/// is told the split on the control socket.
///
/// A split is accepted when it is in the state file, and proven when nginx answers that it has exactly that one: its
/// workers share the memory, so all follow it from then on. Reloads keep the memory; after a restart nginx reads the
/// file itself. What was accepted but not told, because this program died in between, the next call of
/// [`current`](TrafficRouter::current) tells; a file that was lost is written again from what nginx has.
///
/// - **Weights** are exact over all workers: they walk one sequence, in which each round of as many requests as the
///   weights add up to, in lowest terms, gives each set exactly its part. With stickiness they hold for clients, in
///   expectation.
/// - **Requests in flight** are counted per member, tunnels included. A request is picked, counted, and picked again if
///   the split changed in between: after the proof no request can reach an old member uncounted. What a killed worker
///   was answering is not waited for.
/// - **Retries**: a member that refuses a connection is left out for a while, and the request goes to another one of its
///   set.
///
/// The location of the workload has to be [added](Server::add) for this kind of router. Users of nginx have to know:
/// - The state file and the Lua code have to be readable for the user of nginx's workers.
/// - A server that has a `log_by_lua*` of its own keeps requests that end at its error pages counted for longer than they
///   last; a drain then ends at its deadline.
/// - While nginx's executable is replaced (USR2) two masters have a memory each: switches are refused meanwhile.
#[derive(Debug, Clone)]
pub struct LiveRouter {
    server: Server,
    workload: WorkloadId,
    store: Store,
    name: Arc<str>,
}

impl LiveRouter {
    /// The router of this workload.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use deployer_core::{model::WorkloadId, ports::TrafficRouter as _};
    /// use deployer_nginx::{LiveRouter, NginxSettings, Server};
    /// let server = Server::find(NginxSettings::default()).await?;
    /// let router = LiveRouter::new(server, WorkloadId::new("web")?);
    /// assert!(router.capabilities().counts_in_flight);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(server: Server, workload: WorkloadId) -> Self {
        let name = format!("nginx, live router of {workload}").into();
        let store = Store::new(workload.clone(), server.paths().clone());
        Self { server, workload, store, name }
    }

    /// Forgets the workload: its split, its counts and its state file. Its location answers 503 from then on.
    ///
    /// # Errors
    /// The file could not be removed, or nginx could not be asked.
    ///
    /// # Idempotence
    /// Forgetting twice is forgetting once.
    pub async fn forget(&self, context: &CallContext) -> Result<()> {
        let call = self.call(context, "forget")?;
        let turn = self.store.turn(&call.operation, call.left()).await?;
        let _turn = self.store.remove(&call.operation, turn).await?;
        self.ask(&call, "DELETE", "split", "").await.map(drop)
    }

    /// A call about requests, which have to come here.
    fn routing(&self, context: &CallContext, verb: &str) -> Result<Call> {
        let call = self.call(context, verb)?;
        self.server.expect_kind(&call.operation, &self.workload, RouterKind::Live)?;
        Ok(call)
    }

    fn call(&self, context: &CallContext, verb: &str) -> Result<Call> {
        let operation = format!("{verb} {}", self.name);
        if context.workload != self.workload {
            let message = format!("this router serves workload {}, not {}", self.workload, context.workload);
            return Err(BackendError::new(ErrorKind::InvalidInput, operation, message));
        }
        Ok(Call { operation, deadline: Instant::now() + context.deadline })
    }

    async fn ask(&self, call: &Call, method: &str, what: &str, body: &str) -> Result<ControlAnswer> {
        let path = format!("/live/{}/{what}", self.workload);
        let answer = self.server.ask(method, &path, body.as_bytes(), call.left()).await;
        answer.map_err(|error| BackendError { operation: call.operation.clone(), ..error })
    }

    /// While the executable of nginx is replaced an old and a new master serve, each with a memory of its own.
    fn refuse_two_masters(&self, call: &Call) -> Result<()> {
        let mut old = self.server.settings().pid_file.clone().into_os_string();
        old.push(".oldbin");
        if !std::path::Path::new(&old).exists() {
            return Ok(());
        }
        let message =
            "the executable of nginx is just being replaced: end the old master or the new one first";
        Err(call.error(ErrorKind::Unavailable, message))
    }

    /// Accepts and tells. The number of a state file that was lost is taken up where nginx has it.
    async fn tell(
        &self,
        call: &Call,
        turn: Turn,
        accepted: Accepted,
        before: Option<Accepted>,
    ) -> Result<()> {
        let (turn, accepted) = self.store.write(&call.operation, turn, accepted).await?;
        let answer = self.ask(call, "PUT", "split", &accepted.text()).await?;
        let Some((newer, _)) = (answer.status == 409).then(|| wire::in_force(&answer.body)).flatten() else {
            let Err(refused) = confirmed(call, &accepted, &answer) else { return Ok(()) };
            // It goes on with the split before, and so does the file.
            match before {
                Some(before) => self.store.write(&call.operation, turn, before).await.map(drop)?,
                None => self.store.remove(&call.operation, turn).await.map(drop)?,
            }
            return Err(refused);
        };
        let renumbered = accepted.numbered(newer + 1);
        let (_turn, accepted) = self.store.write(&call.operation, turn, renumbered).await?;
        let answer = self.ask(call, "PUT", "split", &accepted.text()).await?;
        confirmed(call, &accepted, &answer)
    }

    /// Nothing was accepted yet, or the file was lost and nginx still has what it said.
    async fn without_file(&self, call: &Call) -> Result<TrafficView> {
        // Before anything is started it is found out whether nginx has the live router at all.
        let answer = self.ask(call, "GET", "text", "").await?;
        if answer.status == 404 && answer.body.starts_with("nothing was accepted") {
            return Ok(TrafficView { split: Split::EMPTY, proof: Proof::Proven { generation: 0 } });
        }
        if answer.status != 200 {
            return Err(refused(call, &answer));
        }
        let turn = self.store.turn(&call.operation, call.left()).await?;
        if let Some(accepted) = self.store.read(&call.operation).await? {
            // Somebody wrote it meanwhile, and is telling nginx.
            return Ok(TrafficView { split: accepted.split, proof: Proof::Pending });
        }
        // The answer ends with a line of its own.
        let text = answer.body.strip_suffix('\n').unwrap_or(&answer.body);
        let accepted = Accepted::parse(text).map_err(|why| {
            let message = format!("nginx follows a split that has no file, and cannot be read: {why}");
            call.error(ErrorKind::Conflict, message)
        })?;
        tracing::warn!(workload = %self.workload, path = %self.store.path().display(), "writing a lost file again");
        let (_turn, accepted) = self.store.write(&call.operation, turn, accepted).await?;
        Ok(proven(accepted))
    }

    /// Whether nginx follows what was accepted.
    async fn follows(&self, call: &Call, accepted: &Accepted) -> Result<bool> {
        let answer = self.ask(call, "GET", "split", "").await?;
        match answer.status {
            200 => Ok(wire::in_force(&answer.body) == Some((accepted.generation, &accepted.stamp))),
            404 if answer.body.starts_with("nothing was accepted") => Ok(false),
            _ => Err(refused(call, &answer)),
        }
    }
}

/// One call: what it is for, and until when.
#[derive(Debug)]
struct Call {
    operation: String,
    deadline: Instant,
}

impl Call {
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> BackendError {
        BackendError::new(kind, self.operation.clone(), message)
    }
}

fn proven(accepted: Accepted) -> TrafficView {
    let proof = Proof::Proven { generation: accepted.generation };
    TrafficView { split: accepted.split, proof }
}

fn confirmed(call: &Call, accepted: &Accepted, answer: &ControlAnswer) -> Result<()> {
    let is_it = wire::in_force(&answer.body) == Some((accepted.generation, &accepted.stamp));
    if answer.status == 200 && is_it { Ok(()) } else { Err(refused(call, answer)) }
}

fn refused(call: &Call, answer: &ControlAnswer) -> BackendError {
    let said: String = answer.body.trim().chars().take(200).collect();
    match answer.status {
        404 => {
            let message = "nginx runs without the live router: reload it, with the Lua module loaded";
            call.error(ErrorKind::Unavailable, message)
        }
        409 => call.error(ErrorKind::Conflict, format!("nginx follows another deployer: {said}")),
        507 => call.error(ErrorKind::Unavailable, format!("nginx has no memory for this split: {said}")),
        status => call.error(ErrorKind::Unexpected, format!("nginx answered {status}: {said}")),
    }
}

#[async_trait]
impl TrafficRouter for LiveRouter {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> RouterCapabilities {
        RouterCapabilities {
            weights: true,
            header_routes: true,
            cookie_routes: true,
            maintenance: true,
            members: true,
            proves: true,
            counts_in_flight: true,
            fences: true,
        }
    }

    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()> {
        let call = self.routing(context, "switch")?;
        self.refuse_two_masters(&call)?;
        let turn = self.store.turn(&call.operation, call.left()).await?;
        let now = self.store.read(&call.operation).await?;
        store::fence(&call.operation, now.as_ref(), context.epoch)?;
        check::check(split).map_err(|problems| {
            call.error(ErrorKind::InvalidInput, "nginx cannot follow this split").with_source(problems)
        })?;
        let next = store::next(now.as_ref(), context.epoch, split, self.server.settings());
        match (next, now) {
            // Another owner of the same split is nothing that nginx has to know.
            (Some(next), Some(now)) if next.stamp == now.stamp => {
                self.store.write(&call.operation, turn, next).await.map(drop)
            }
            (Some(next), now) => self.tell(&call, turn, next, now).await,
            (None, _) => Ok(()),
        }
    }

    async fn current(&self, context: &CallContext) -> Result<TrafficView> {
        let call = self.routing(context, "ask")?;
        let Some(accepted) = self.store.read(&call.operation).await? else {
            return self.without_file(&call).await;
        };
        let proven = |accepted| Ok(proven(accepted));
        if self.follows(&call, &accepted).await? {
            return proven(accepted);
        }
        // Somebody may be just between the file and nginx; or died there.
        let turn = self.store.turn(&call.operation, call.left()).await?;
        let Some(accepted) = self.store.read(&call.operation).await? else {
            return Err(call.error(ErrorKind::Unavailable, "the state file has just been removed"));
        };
        if !self.follows(&call, &accepted).await? {
            self.tell(&call, turn, accepted.clone(), Some(accepted)).await?;
            let now = self.store.read(&call.operation).await?;
            return now.map_or_else(
                || Err(call.error(ErrorKind::Unavailable, "the state file has just been removed")),
                proven,
            );
        }
        proven(accepted)
    }

    async fn in_flight(&self, context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>> {
        let call = self.call(context, "count requests of")?;
        let addressed: Vec<_> = members
            .iter()
            .filter_map(|member| Some(wire::counted(&member.instance, member.address?)))
            .collect();
        let question = addressed.iter().fold(String::new(), |text, name| text + name + "\n");
        let answer = self.ask(&call, "POST", "busy", &question).await?;
        if answer.status != 200 {
            return Err(refused(&call, &answer));
        }
        let counts: Vec<u32> = answer.body.lines().filter_map(|line| line.trim().parse().ok()).collect();
        if counts.len() != addressed.len() {
            let message = format!("{} counts for {} members", counts.len(), addressed.len());
            return Err(call.error(ErrorKind::Unexpected, message));
        }
        let mut counts = counts.into_iter();
        // Without an address nothing can have been sent to it.
        let mut count = |member: &Member| member.address.and_then(|_| counts.next()).unwrap_or(0);
        Ok(members.iter().map(|member| InFlight::Known(count(member))).collect())
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        let call = self.call(context, "watch")?;
        let seen = changes(&call, &self.ask(&call, "GET", "changes?seen=-1", "").await?)?;
        let router = self.clone();
        let hints = stream::unfold((router, seen), |(router, seen)| async move {
            loop {
                let call =
                    Call { operation: format!("watch {}", router.name), deadline: Instant::now() + WATCH };
                let answer = router.ask(&call, "GET", &format!("changes?seen={seen}"), "").await.ok()?;
                let now = changes(&call, &answer).ok()?;
                if now != seen {
                    return Some(((), (router, now)));
                }
            }
        });
        Ok(Box::pin(hints))
    }
}

fn changes(call: &Call, answer: &ControlAnswer) -> Result<u64> {
    let number = (answer.status == 200).then(|| answer.body.trim().parse().ok()).flatten();
    number.ok_or_else(|| refused(call, answer))
}
