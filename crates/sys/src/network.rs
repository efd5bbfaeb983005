//! The network interfaces of this process's network namespace (netdevice(7)).

use std::os::fd::AsRawFd as _;

use nix::sys::socket::{AddressFamily, SockFlag, SockType};

use super::{Errno, Result};

/// Brings the loopback interface up. The kernel gives it its addresses.
pub fn loopback_up() -> Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = nix::sys::socket::socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
    // SAFETY: all bytes of this structure may be zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    // SAFETY: the descriptor is open, and the structure, whose name ends with NUL, lives during the
    // calls; the first one sets the flags that the second one takes.
    unsafe {
        Errno::result(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request))?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        Errno::result(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request))
            .map(drop)
    }
}
