//! Decides whether a group is a user's own: many systems give each user a group of the same name,
//! and create files that it can write.

/// Returns true if the group's only members are the user and the administrator. `/etc/passwd` and
/// `/etc/group` decide: a group that is in neither of them, or that has another name, counts as
/// other users'.
#[cfg(target_os = "linux")]
pub(super) fn is_only_ours(group: u32, user: u32) -> bool {
    match (text("/etc/passwd"), text("/etc/group")) {
        (Some(users), Some(groups)) => is_only(&users, &groups, group, user),
        _ => false,
    }
}

/// On other systems, users are not in a readable file.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_only_ours(_: u32, _: u32) -> bool {
    false
}

/// `None` for a file longer than 1 MiB: a machine with that many users has groups of others.
#[cfg(target_os = "linux")]
fn text(path: &str) -> Option<String> {
    use std::io::Read as _;
    const LONGEST: u64 = 1024 * 1024;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(LONGEST + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= LONGEST).then_some(text)
}

/// The fields of the lines of `passwd(5)` and `group(5)`. Malformed lines are skipped.
#[cfg(target_os = "linux")]
fn is_only(users: &str, groups: &str, group: u32, user: u32) -> bool {
    let users = || {
        users.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let id: u32 = fields.nth(1)?.parse().ok()?;
            Some((name, id, fields.next()?.parse::<u32>().ok()?))
        })
    };
    let is_ours = |id: u32| id == user || id == 0;
    let is_called = |name: &str, id: u32| users().any(|(called, of, _)| called == name && of == id);
    let mut named = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        (id == group).then(|| (name, fields.next().unwrap_or_default()))
    });
    let Some((name, members)) = named.next() else { return false };
    // Two names for one group have two lists of members.
    if named.next().is_some() || !(group == 0 || is_called(name, user)) {
        return false;
    }
    let members = || members.split(',').map(str::trim).filter(|member| !member.is_empty());
    members().all(|member| is_called(member, user) || is_called(member, 0))
        && users().filter(|(_, _, primary)| *primary == group).all(|(_, id, _)| is_ours(id))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\n\
        ada:x:1000:1000::/home/ada:/bin/sh\n\
        bob:x:1001:1001::/home/bob:/bin/sh\n\
        eve:x:1002:1001::/home/eve:/bin/sh\n\
        web:x:1003:100::/:/bin/false\nodd\nodder:x:y:z\n";
    const GROUPS: &str = "root:x:0:\nada:x:1000:root,ada\n\
        bob:x:1001:\nusers:x:100:\nshop:x:50:ada\n\
        eve:x:60:ada\nodd\n";

    #[test]
    fn a_group_is_ours_if_it_has_no_other_member() {
        assert!(
            is_only(USERS, GROUPS, 1000, 1000),
            "a group of its own name, with the administrator in it"
        );
        assert!(is_only(USERS, GROUPS, 0, 1000), "the administrator's");
        for (group, user, why) in [
            (1000, 1001, "another user's"),
            (1001, 1001, "another user has it as the first group"),
            (100, 1003, "it is called something else, and who else is in it may be in a directory"),
            (50, 1000, "it is called something else"),
            (60, 1002, "another user is in it"),
            (7, 1000, "nothing is known of it"),
            (1000, 4000, "nothing is known of the user"),
        ] {
            assert!(!is_only(USERS, GROUPS, group, user), "{why}");
        }
        assert!(
            !is_only(USERS, &GROUPS.replace("root:x:0:", "root:x:0:bob"), 0, 1000),
            "another user is in root's"
        );
        assert!(!is_only(&USERS.replace("bob:x:1001:1001", "bob:x:1001:0"), GROUPS, 0, 1000));
        assert!(
            !is_only(USERS, &format!("{GROUPS}all:x:1000:eve\n"), 1000, 1000),
            "it has a second name"
        );
        assert!(is_only(USERS, GROUPS, 0, 4000), "a user without a name, as OpenShift gives one");
    }
}
