//! What the tests of the closed world have in common.

/// A script that prints the directories among these in which a file can be made.
pub fn writes_to(directories: &str) -> String {
    format!("for d in {directories}; do touch $d/by-payload 2>/dev/null && echo $d; done; :")
}

/// Directories of the machine that a payload might write to.
pub const MACHINE: &str = "/ /usr /etc /var /var/lib /dev /run /home /root /sys /proc /mnt /srv";
