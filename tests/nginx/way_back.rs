//! A release that answers with errors is seen by what nginx counts, and taken back.

use std::{sync::Arc, time::Duration};

use deployer::{
    error::DeployError,
    gates::{ErrorRate, ErrorRateSettings},
    model::{AttachPoint, GateId, Percent},
};
use deployer_testkit::load::Mix;

use crate::{
    recipes::{Kind, app},
    stand::{Stand, answered, ended, patient},
};

pub(crate) async fn bad_answers_are_seen_and_taken_back(stand: &Stand) {
    let settings = ErrorRateSettings {
        observe: Duration::from_secs(2),
        every: Duration::from_millis(100),
        minimum_samples: 20,
        ..ErrorRateSettings::default()
    };
    let gate = Arc::new(ErrorRate::new(stand.metrics(), settings).unwrap());
    let mix = Mix { fresh_get: 1, fresh_post: 1, ..Mix::NONE };
    let load = patient(stand.address).rate(300).mix(mix).start().unwrap();
    answered(&load, 50).await;
    let deployment = |release: &str, errors: u64| {
        let mut app = app(release);
        app.errors = Percent::new(errors).unwrap();
        let builder = stand.deployment_of(&app, Kind::Canary);
        builder.gate(AttachPoint::EachStep, GateId::new("errors").unwrap(), gate.clone()).build().unwrap()
    };
    let bad = deployment("v2", 50).run().await.unwrap_err();
    assert!(matches!(bad, DeployError::RolledBack { .. }), "{bad:?}");
    assert!(bad.to_string().contains("gate errors"), "{bad}");
    stand.assert_live("v1");
    let result = ended(&format!("a release with errors by the {}", stand.kind()), load).await;
    let of_v2 = &result.by_version["v2"];
    assert_eq!(result.failed, of_v2.failed, "only its own answers failed\n{result}");
    assert!(result.failed > 0, "{result}");

    let load = patient(stand.address).rate(300).mix(mix).start().unwrap();
    answered(&load, 50).await;
    deployment("v3", 0).run().await.unwrap();
    stand.assert_live("v3");
    ended(&format!("a good one by the {}", stand.kind()), load).await.assert_lossless();
}
