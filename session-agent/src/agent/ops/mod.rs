//! What the agent does, one file per verb. Everything that can be checked is checked before a job is made.

mod base;
mod compare;
mod exec;
mod launch;
mod pack;
mod rehearse;
mod resume;
mod save;
mod settings;
mod stop;
mod transfer;
mod upkeep;
