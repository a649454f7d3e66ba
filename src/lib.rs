#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("stasis-bus packs an index and flags into 64-bit words and needs a 64-bit target");


mod sync;
mod error;
mod ids;
mod message;
mod queue;
mod stats;
mod dispatch;
mod mailbox;
mod topic;
mod subscription;
