//! The times in a chain.

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::x509::X509;

use crate::arguments::Level;
use crate::name;
use crate::refusal::{Refusal, Result};

/// The seconds since 1970 at which the first certificate of the chain ends.
pub fn end(chain: &[X509]) -> Result<u64> {
    let ends = || -> Result<Option<u64>, ErrorStack> {
        let epoch = Asn1Time::from_unix(0)?;
        let ends = chain.iter().map(|certificate| seconds(&epoch, certificate.not_after()));
        Ok(ends.collect::<Result<Vec<_>, _>>()?.into_iter().min())
    };
    match ends() {
        Ok(Some(end)) => Ok(end),
        Ok(None) | Err(_) => Err(Refusal::credential("the chain has no end of validity")),
    }
}

/// Checks the proxies, the last one first, against the limits in seconds.
pub fn check(proxies: &[X509], limits: &[(Level, u64)]) -> Result<()> {
    for (index, proxy) in proxies.iter().enumerate() {
        let number = proxies.len() - index;
        let applies =
            |level: Level| level == Level::Number(number) || (level == Level::Leaf && index == 0);
        let limit = limits.iter().filter(|(level, _)| applies(*level)).map(|(_, limit)| *limit);
        let Some(limit) = limit.min() else { continue };
        let lifetime = seconds(proxy.not_before(), proxy.not_after())
            .map_err(|_| Refusal::credential("a proxy has no end of validity"))?;
        if lifetime > limit {
            return Err(Refusal::site(format!(
                "{}: the proxy of level {number} is valid for {lifetime} s, and this site's limit \
                 is {limit} s; make one for a shorter time",
                name::of(proxy.subject_name())
            )));
        }
    }
    Ok(())
}

/// The seconds between two times; 0 if the second is not later.
fn seconds(from: &Asn1TimeRef, to: &Asn1TimeRef) -> Result<u64, ErrorStack> {
    let difference = from.diff(to)?;
    let seconds = i64::from(difference.days) * 86_400 + i64::from(difference.secs);
    Ok(u64::try_from(seconds).unwrap_or(0))
}
