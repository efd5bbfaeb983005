//! The wrapper of a starter's job (HTCondor's USER_JOB_WRAPPER): the job runs as another user.
//!
//! The starter executes the wrapper in the job's *scratch directory*, and takes its end for the
//! job's. The wrapper moves the job's files from the scratch directory to a sandbox in a
//! *slot directory*, runs the job as a pilot runs its payload, and moves the files back.
//!
//! - [`settings`]: the file with the settings; the environment is the job's, and not believed;
//! - [`scratch`]: the scratch directory, by its descriptor, and its names;
//! - [`names`]: which entries of it the job gets; [`entries`]: moving them;
//! - [`environment`]: the job's variables and arguments, with the paths of the sandbox;
//! - [`world`]: whether the job has a closed world, and what is in it;
//! - [`slot`]: the directory of a slot, its lock, and its note; [`ad`]: what the job's and the
//!   machine's ClassAd say; [`executable`]: whether the job can be executed at all;
//! - [`streams`]: the rights to the standard streams; [`access_list`]: how a user gets them;
//! - [`run`]: the sequence; [`sweep`]: what a wrapper that was killed has left;
//! - [`trials`]: the directory in which an examination tries switchers;
//! - [`marker`]: tells `doctor --condor` that a job could not be started here.

mod access_list;
pub mod ad;
mod entries;
pub mod environment;
pub mod executable;
pub mod marker;
mod names;
pub mod run;
pub mod scratch;
pub mod settings;
pub mod slot;
mod streams;
pub mod sweep;
pub mod trials;
pub mod world;

/// The name that HTCondor calls the wrapper by, a link.
pub const NAME: &str = "condor_glexec_user_job_wrapper";
