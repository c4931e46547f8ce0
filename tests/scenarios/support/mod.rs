//! What a scenario is told with: a scene, people in it, and a film of what happened.

mod ended;
mod film;
mod gates;
mod scene;
mod strategies;

pub(crate) use ended::Ended;
pub(crate) use film::{Film, Frame};
pub(crate) use gates::answers;
pub(crate) use scene::{Person, Scene};
pub(crate) use strategies::{
    baking, blue_green, canary, canary_of, everything, pausing, rolling, seconds, serving_strategies, step,
};
