#![doc = include_str!("README.md")]

mod cache;
pub mod chain;
pub mod decision;
#[cfg(feature = "feed")]
pub mod feed;
mod held_dir;
pub mod list;
pub mod narrow;
#[cfg(any(feature = "feed", feature = "report"))]
mod net;
pub mod observe;
#[cfg(any(feature = "feed", feature = "report"))]
mod pace;
mod proof;
pub mod replay;
#[cfg(feature = "report")]
pub mod report;
pub mod scope;
#[cfg(test)]
mod testing;
#[cfg(feature = "tower")]
pub mod tower;
pub mod uses;
pub mod vectors;
mod verifier;
mod windows;

pub use verifier::{Config as VerifierConfig, Sink, Unrecorded, Verifier};
pub use windows::Windows;
