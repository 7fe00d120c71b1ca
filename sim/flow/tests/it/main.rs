//! Integration tests of the flow.

mod dms;
mod ecs;
mod fakes;
mod firehose;
mod pipe;
mod shipped;
mod step_functions;
mod stores;
