//! The keys that say who may call, and which account a credential has.

use super::super::parse;
use super::Effect::Set;
use super::Key;
use crate::group_ranges::GroupRanges;
use crate::users::UserList;

const HIGHEST_ID: u32 = u32::MAX - 1;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "door",
        value: "auto, setuid, daemon or rootless",
        default: "auto",
        text: "By which way a call is served. auto: by the account daemon if its socket exists and \
               belongs to root; else with root's rights if the program was started set-user-ID; \
               else without privilege. For daemon and rootless, a program that was started \
               set-user-ID first becomes its caller, without a way back.",
        effect: Set(|config, value| parse::door(value).map(|door| config.door = door)),
    },
    Key {
        name: "user_white_list",
        value: "names, .prefixes and user ids, separated by commas",
        default: "",
        text: "Who may call: accounts by name, the accounts of a pool by .prefix (the prefix and \
               digits), accounts by user id. Root may call only if it is listed, too. A caller \
               that is not listed gets status 203. Without this key no user may call.",
        effect: Set(|config, value| {
            UserList::parse(value).map(|users| config.user_white_list = users)
        }),
    },
    Key {
        name: "mapping",
        value: "proxy or caller",
        default: "proxy",
        text: "How a credential's account is found. proxy: the credential is an X.509 proxy; its \
               chain is verified, and grid_mapfile has the account of its subject. caller: the \
               credential is any file of the caller's, such as a token; caller_map has the account \
               for the caller and the credential's path.",
        effect: Set(|config, value| parse::mapping(value).map(|mapping| config.mapping = mapping)),
    },
    Key {
        name: "grid_mapfile",
        value: "path",
        default: "/etc/grid-security/grid-mapfile",
        text: "The accounts of subjects, for mapping = proxy. See FILES.",
        effect: Set(|config, value| parse::path(value).map(|path| config.grid_mapfile = path)),
    },
    Key {
        name: "grid_mapfile_wildcards",
        value: "yes or no",
        default: "no",
        text: "yes: a * in a subject of grid_mapfile stands for any text, as in LCMAPS. no: it is \
               an ordinary character.",
        effect: Set(|config, value| {
            parse::yes_no(value).map(|yes| config.grid_mapfile_wildcards = yes)
        }),
    },
    Key {
        name: "gridmapdir",
        value: "path",
        default: "/etc/grid-security/gridmapdir",
        text: "The directory of pool accounts and their leases. Other software that uses \
               gridmapdir can share it. It must be on a file system with hard links.",
        effect: Set(|config, value| parse::path(value).map(|path| config.gridmapdir = path)),
    },
    Key {
        name: "ca_directory",
        value: "path",
        default: "/etc/grid-security/certificates",
        text: "The certificates and revocation lists of the authorities, under the names of \
               OpenSSL's hashes, for mapping = proxy.",
        effect: Set(|config, value| parse::path(value).map(|path| config.ca_directory = path)),
    },
    Key {
        name: "ban_file",
        value: "path or nothing",
        default: "",
        text: "Subjects that are banned, for mapping = proxy. A call with a proxy of a banned \
               subject gets status 203. It replaces the ban list of LCAS. See FILES.",
        effect: Set(|config, value| parse::optional_path(value).map(|path| config.ban_file = path)),
    },
    Key {
        name: "caller_map",
        value: "path",
        default: "/etc/glexec.caller-map",
        text: "The accounts for callers and paths of credentials, for mapping = caller. See FILES.",
        effect: Set(|config, value| parse::path(value).map(|path| config.caller_map = path)),
    },
    Key {
        name: "omission_private_key_white_list",
        value: "names, .prefixes and user ids, separated by commas",
        default: "",
        text: "Callers that may use a proxy without its private key, for mapping = proxy. Others \
               get status 201 then.",
        effect: Set(|config, value| {
            UserList::parse(value).map(|users| config.omission_private_key_white_list = users)
        }),
    },
    Key {
        name: "allow_limited_proxies",
        value: "yes or no",
        default: "no",
        text: "Whether limited proxies are accepted, for mapping = proxy. Other proxies with a \
               policy of their own never are. A proxy that is not accepted gets status 203.",
        effect: Set(|config, value| {
            parse::yes_no(value).map(|yes| config.allow_limited_proxies = yes)
        }),
    },
    Key {
        name: "max_proxy_lifetime",
        value: "level=seconds, separated by commas",
        default: "",
        text: "The longest time between the beginning and the end of the validity of a proxy, for \
               mapping = proxy. Level 1 is the proxy that the user's own certificate has signed, 2 \
               is the next; leaf is the last one, whatever its level is. A proxy that is valid for \
               longer gets status 202. Without this key there is no limit.",
        effect: Set(|config, value| {
            parse::lifetimes(value).map(|limits| config.max_proxy_lifetime = limits)
        }),
    },
    Key {
        name: "min_uid",
        value: "number from 1",
        default: "1000",
        text: "The lowest user id of a target. A credential that maps to an account below it gets \
               status 203. No target is ever root, or the account nobody.",
        effect: Set(|config, value| {
            parse::number(value, 1..=HIGHEST_ID).map(|id| config.min_uid = id)
        }),
    },
    Key {
        name: "min_gid",
        value: "number from 1",
        default: "1000",
        text: "The lowest id of the groups of a target. A credential that maps to an account with \
               a group below it gets status 203.",
        effect: Set(|config, value| {
            parse::number(value, 1..=HIGHEST_ID).map(|id| config.min_gid = id)
        }),
    },
    Key {
        name: "tracking_groups",
        value: "group ids and ranges first-last, separated by commas",
        default: "",
        text: "Supplementary groups of the caller that the payload keeps, beside those of its \
               account: the ids that a batch system adds to a job to follow its processes \
               (HTCondor: USE_GID_PROCESS_TRACKING; Grid Engine: gid_range).",
        effect: Set(|config, value| {
            GroupRanges::parse(value).map(|groups| config.tracking_groups = groups)
        }),
    },
    Key {
        name: "user_identity_switch_by",
        value: "glexec or lcmaps",
        default: "glexec",
        text: "gLExec could leave the change of user to LCMAPS. Here glexec itself always makes \
               it. With lcmaps, epilogue_user and epilogue_group are an error, as in gLExec.",
        effect: Set(|config, value| {
            parse::switch_by(value).map(|side| config.user_identity_switch_by = side)
        }),
    },
];
