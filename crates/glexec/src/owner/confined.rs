//! Change of owner where this process has root's rights.

use command::program::Options;
use command::refusal::{Refusal, Result};
use ownership::Order;
use ownership::confined::Change;
use root::config::Config;
use root::door::{self, Found};
use root::sanitize::Start;
use sys::signal::{SIGHUP, SIGINT, SIGTERM, Signals};
use sys::switch;

use super::wait_for_answer;

/// Changes the owner of a directory as the options say. Returns the report, one line.
pub(crate) fn run(options: &Options, start: &Start, config: &Config) -> Result<String> {
    let caller = &start.caller;
    let Found { target, lease, credential, .. } = door::find(start, config)?;
    // What the caller names is read with the caller's rights: the directories are opened here.
    let order = switch::with_files_of(caller, || -> Result<Order> {
        let order = Order::read(options)?;
        let payload = &target.identity;
        Change { order: &order, caller, payload, lock: None, signals: None }.check(&credential)?;
        Ok(order)
    });
    let order = order.map_err(|cause| {
        Refusal::internal(format!("cannot open files with the caller's rights: {cause}"))
    })??;
    let failed = |cause| Refusal::internal(format!("cannot wait for signals: {cause}"));
    let signals = match order.is_give() {
        true => Some(Signals::block(&[SIGHUP, SIGINT, SIGTERM]).map_err(failed)?),
        false => None,
    };
    let signals = signals.as_ref();
    let payload = &target.identity;
    let change = Change { order: &order, caller, payload, lock: lease.as_ref(), signals };
    change.run(|worker, answer| wait_for_answer(worker, signals, answer))
}
