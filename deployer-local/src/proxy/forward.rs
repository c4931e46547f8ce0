//! One request from its head to the head of its answer: pick, send, send again where that is safe.

use std::{convert::Infallible, sync::Arc, time::Instant};

use http::{HeaderMap, Request, Response, StatusCode, Version};
use hyper::{
    body::{Body, Incoming},
    upgrade::OnUpgrade,
};

use super::{
    answer,
    body::{AnswerBody, Content, DrivenBy, MemberBody, Source},
    claim::Claim,
    connection::{Busy, Client},
    exchange::{Failure, exchange},
    headers,
    member::MemberState,
    pool::MemberConnection,
    routing::Pick,
    shared::Stand,
    tunnel::Tunnel,
    upload::{Progress, Upload},
};

/// How often one request may be begun, whatever the number of members.
const MOST_ATTEMPTS: u32 = 8;

/// Answers one request. Never fails: what goes wrong is an answer.
pub(super) async fn handle(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let busy = Busy::new(client);
    let response = forward(busy.client(), request).await.unwrap_or_else(|own| own);
    Ok(response.map(|content| AnswerBody::new(content, busy)))
}

async fn forward(
    client: &Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Content>, Response<Content>> {
    let arrived = Instant::now();
    let (mut parts, body) = request.into_parts();
    if let Err(rejection) = headers::accept(&mut parts) {
        client.shared.count_rejected();
        return Err(answer::text(rejection.status, rejection.message));
    }
    let stand = client.shared.stand(&parts.headers);
    let claim = match client.shared.pick(&parts.headers, stand.point, arrived) {
        Pick::Member(claim) => claim,
        Pick::Maintenance(own) => return Err(answer::maintenance(own)),
        Pick::Nowhere => return Err(answer::nowhere()),
        Pick::Unavailable(set) => {
            set.count(true, arrived.elapsed());
            return Err(answer::unavailable());
        }
    };
    let upgrade = headers::wanted_upgrade(&parts);
    let switching = upgrade.as_ref().and_then(|_| parts.extensions.remove::<OnUpgrade>());
    headers::to_member(&mut parts, &client.address, upgrade, client.shared.settings.trust_forwarded);
    if let Some(stickiness) = &client.shared.settings.stickiness {
        stickiness.hide(&mut parts.headers);
    }
    // Extensions are for this side only.
    parts.extensions.clear();
    let (upload, progress) = Upload::new(body);
    client.upload.lock().clone_from(&progress);
    let attempt = Attempt { client, claim, stand, arrived, progress, tried: Vec::new(), switching };
    attempt.run(Request::from_parts(parts, upload)).await
}

/// A request on its way.
struct Attempt<'a> {
    client: &'a Arc<Client>,
    claim: Claim,
    stand: Stand,
    arrived: Instant,
    /// `None` for a request without body.
    progress: Option<Progress>,
    /// Members that did not take it.
    tried: Vec<Arc<MemberState>>,
    /// For a request that asks for another protocol.
    switching: Option<OnUpgrade>,
}

/// What to do after an attempt that failed.
enum Next {
    SameMember(Request<Upload>),
    OtherMember(Request<Upload>),
    GiveUp(Response<Content>),
}

impl Attempt<'_> {
    async fn run(mut self, mut request: Request<Upload>) -> Result<Response<Content>, Response<Content>> {
        let settings = &self.client.shared.settings;
        let mut fresh = false;
        for _ in 0..MOST_ATTEMPTS {
            let next = match self.connection(&request, fresh).await {
                None => Next::OtherMember(request),
                Some(connection) => {
                    let reused = connection.reused;
                    let replay = (reused && self.may_replay(&request)).then(|| head_of(&request));
                    match exchange(connection, self.addressed(request), settings.response_timeout).await {
                        Ok((response, connection))
                            if response.status() == StatusCode::SWITCHING_PROTOCOLS =>
                        {
                            return Box::pin(self.switch(response, connection)).await;
                        }
                        Ok((response, connection)) => return Ok(self.finish(response, connection)),
                        Err(failure) => self.after(failure, reused, replay),
                    }
                }
            };
            request = match next {
                Next::SameMember(again) => {
                    fresh = true;
                    again
                }
                Next::OtherMember(again) => {
                    if let Some(own) = self.other_member(&again) {
                        return Err(own);
                    }
                    again
                }
                Next::GiveUp(response) => return Err(response),
            };
        }
        self.failed();
        Err(answer::unavailable())
    }

    /// A connection to the claimed member; `None` if it refused.
    async fn connection(&self, request: &Request<Upload>, fresh: bool) -> Option<Box<MemberConnection>> {
        let settings = &self.client.shared.settings;
        let member = self.claim.member();
        if !fresh {
            let replaceable = self.progress.is_none() && request.method().is_idempotent();
            let limit = if replaceable { settings.member_idle } else { settings.member_idle_unsafe };
            if let Some(connection) = member.pool.take(self.arrived, limit) {
                return Some(connection);
            }
        }
        // Boxed, like all that is rare: what a future may need makes it larger for every request.
        match Box::pin(MemberConnection::open(member.address, settings.connect_timeout)).await {
            Ok(connection) => {
                member.ejection.connected();
                Some(connection)
            }
            Err(error) => {
                tracing::debug!(set = %self.claim.set().id, instance = %member.instance, %error, "refused");
                member.ejection.refused(Instant::now());
                self.claim.set().count_refused();
                None
            }
        }
    }

    fn may_replay(&self, request: &Request<Upload>) -> bool {
        self.client.shared.settings.replay_idempotent
            && self.progress.is_none()
            && self.switching.is_none()
            && request.method().is_idempotent()
    }

    /// Clients of HTTP/1.0 need not name a host; members need one.
    fn addressed(&self, mut request: Request<Upload>) -> Request<Upload> {
        let host = &self.claim.member().host;
        request.headers_mut().entry(http::header::HOST).or_insert_with(|| host.clone());
        request
    }

    fn after(&mut self, failure: Failure, reused: bool, replay: Option<Request<()>>) -> Next {
        let settings = &self.client.shared.settings;
        let what = match failure {
            Failure::Unwritten(request) if settings.retry_unwritten => {
                if reused {
                    self.claim.set().count_retried();
                    return Next::SameMember(*request);
                }
                return Next::OtherMember(*request);
            }
            Failure::Unwritten(_) => "not written".to_owned(),
            Failure::Lost(error) => {
                if self.progress.as_ref().is_some_and(Progress::is_broken) {
                    // Counted by the claim as a client that left.
                    return Next::GiveUp(answer::text(StatusCode::BAD_REQUEST, "the request broke off\n"));
                }
                if let Some(head) = replay {
                    self.claim.set().count_retried();
                    return Next::SameMember(head.map(|()| Upload::absent()));
                }
                error
            }
            Failure::Malformed(error) => error,
            Failure::TimedOut => {
                self.failed();
                return Next::GiveUp(answer::timed_out());
            }
        };
        let member = self.claim.member();
        tracing::debug!(set = %self.claim.set().id, instance = %member.instance, what, "no answer");
        self.failed();
        Next::GiveUp(answer::lost())
    }

    /// Claims another member, or says what to answer if there is none.
    fn other_member(&mut self, request: &Request<Upload>) -> Option<Response<Content>> {
        let shared = &self.client.shared;
        if !shared.settings.retry_unwritten {
            self.failed();
            return Some(answer::unavailable());
        }
        self.tried.push(self.claim.member().clone());
        match shared.pick_other(&self.claim, &self.tried, request.headers(), self.stand.point, Instant::now())
        {
            Pick::Member(next) => {
                self.claim.set().count_retried();
                self.claim.move_to(next);
                None
            }
            // Since it was picked its set has left the split.
            Pick::Maintenance(own) => {
                self.failed();
                Some(answer::maintenance(own))
            }
            Pick::Nowhere | Pick::Unavailable(_) => {
                self.failed();
                Some(answer::unavailable())
            }
        }
    }

    /// Makes the head of the member's answer fit for the client; `false` if it cannot be.
    fn answer_head(&mut self, headers: &mut HeaderMap) -> bool {
        if headers::to_client(headers).is_none() {
            self.failed();
            return false;
        }
        if let Some(stickiness) = &self.client.shared.settings.stickiness {
            stickiness.answer(headers, self.stand.new_client.take());
        }
        true
    }

    fn failed(&mut self) {
        self.claim.answered(true, self.arrived.elapsed());
    }

    fn finish(
        mut self,
        mut response: Response<Incoming>,
        connection: Box<MemberConnection>,
    ) -> Response<Content> {
        let now = Instant::now();
        if !self.answer_head(response.headers_mut()) {
            return answer::lost();
        }
        *response.version_mut() = Version::HTTP_11;
        response.extensions_mut().clear();
        self.claim.answered(response.status().is_server_error(), now - self.arrived);
        let most_idle = self.client.shared.settings.member_idle_connections;
        let source = if connection.is_free() {
            self.claim.member().pool.put(connection, now, most_idle);
            Source::Complete
        } else if self.progress.as_ref().is_none_or(Progress::is_complete) || response.body().is_end_stream()
        {
            Source::Connection(connection)
        } else {
            Source::Task { _until_dropped: DrivenBy::a_task(connection) }
        };
        let events = headers::is_event_stream(response.headers()) && !response.body().is_end_stream();
        let Self { mut claim, client, .. } = self;
        response.map(|body| {
            Content::Member(if events {
                claim.become_tunnel();
                let member = claim.member().clone();
                let deadline = client.shared.settings.tunnel_deadline;
                let cut = async move { member.been_out_for(deadline).await };
                MemberBody::new(body, source, claim, most_idle).until(cut)
            } else {
                MemberBody::new(body, source, claim, most_idle)
            })
        })
    }

    /// Leaves a tunnel for the client's connection to become, once it has sent this answer.
    async fn switch(
        mut self,
        mut response: Response<Incoming>,
        connection: Box<MemberConnection>,
    ) -> Result<Response<Content>, Response<Content>> {
        let protocol = response.headers().get(http::header::UPGRADE).cloned();
        let (Some(switching), Some(protocol)) = (self.switching.take(), protocol) else {
            // Nobody asked for it.
            self.failed();
            return Err(answer::lost());
        };
        let Some((socket, early)) = connection.upgraded(self.client.shared.settings.connect_timeout).await
        else {
            self.failed();
            return Err(answer::lost());
        };
        if !self.answer_head(response.headers_mut()) {
            return Err(answer::lost());
        }
        response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(http::header::UPGRADE, protocol);
        response.extensions_mut().clear();
        self.claim.answered(false, self.arrived.elapsed());
        self.claim.become_tunnel();
        *self.client.tunnel.lock() =
            Some(Tunnel { client: switching, member: socket, early, claim: self.claim });
        Ok(response.map(|_| Content::Own(None)))
    }
}

fn head_of(request: &Request<Upload>) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.headers_mut() = request.headers().clone();
    head
}
