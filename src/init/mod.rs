//! `init`: a first settings file, from six questions, with each credential tried at once.
//!
//! What is answered is held as the environment would hold it ([`Draft`]), so every answer is read
//! and refused by the same code as a setting. Nothing is written before all of it is right, and no
//! secret ever stands in the settings file.

mod document;
mod draft;
mod files;
mod proposals;
mod questions;
mod trial;

pub use document::{Document, SecretPlace};
pub use draft::Draft;
pub use files::{Holds, Places, WriteError};
pub use proposals::{DomainProposal, Listing, Noteworthy, Why};
pub use questions::{DOMAINS, OPA, OPSERA, PROTECT, Question, TOKEN_OWNER, missing};
pub use trial::{OpaTrial, OpseraTrial, try_opa, try_opsera, try_token_owner};
