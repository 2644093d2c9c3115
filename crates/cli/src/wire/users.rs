//! Which numbers do a user and a group of this machine have?
//!
//! Read from `/etc/passwd` and `/etc/group`, as every user whom a web host's panel makes stands there.

use std::fs;

/// Returns the ids of `user`, and of `group` or else the user's own group.
///
/// # Errors
///
/// Says who is missing.
pub(crate) fn ids(user: &str, group: Option<&str>) -> Result<(u32, u32), String> {
    let users = fs::read_to_string("/etc/passwd")
        .map_err(|error| format!("/etc/passwd cannot be read: {error}"))?;
    let groups = fs::read_to_string("/etc/group")
        .map_err(|error| format!("/etc/group cannot be read: {error}"))?;
    find(&users, &groups, user, group)
}

/// Returns the id of `user` and those of all its groups; `None` when there is no such user.
pub(super) fn with_groups(user: &str) -> Option<(u32, Vec<u32>)> {
    let (uid, gid) = ids(user, None).ok()?;
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut all = vec![gid];
    all.extend(memberships(&groups, user));
    Some((uid, all))
}

fn memberships(groups: &str, user: &str) -> Vec<u32> {
    let of_user = groups.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let (gid, members) = (fields.next()?.parse().ok()?, fields.next()?);
        members
            .split(',')
            .any(|member| member == user)
            .then_some(gid)
    });
    of_user.collect()
}

fn find(users: &str, groups: &str, user: &str, group: Option<&str>) -> Result<(u32, u32), String> {
    let entry = |file: &'_ str, name: &str, field: usize| {
        let line = file
            .lines()
            .find(|line| line.split(':').next() == Some(name));
        line.and_then(|line| line.split(':').nth(field)?.parse::<u32>().ok())
    };
    let uid = entry(users, user, 2)
        .ok_or_else(|| format!("there is no user “{user}” on this machine"))?;
    let gid = match group {
        Some(group) => entry(groups, group, 2)
            .ok_or_else(|| format!("there is no group “{group}” on this machine"))?,
        None => entry(users, user, 3).ok_or_else(|| format!("the user “{user}” has no group"))?,
    };
    Ok((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::{find, memberships};

    #[test]
    fn a_user_has_the_groups_that_list_it() {
        let groups = "www:x:33:\nsites:x:100:a,www-data\nother:x:101:www-data-2\nbad\n";
        assert_eq!(memberships(groups, "www-data"), [100]);
    }

    #[test]
    fn users_and_groups_are_found_by_their_whole_name() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nclp-data:x:770:771::/home/clp-data:/bin/false\n";
        let groups = "root:x:0:\nclp-data:x:771:\nwww-data:x:33:\n";
        assert_eq!(find(users, groups, "clp-data", None), Ok((770, 771)));
        assert_eq!(
            find(users, groups, "clp-data", Some("www-data")),
            Ok((770, 33))
        );
        assert_eq!(
            find(users, groups, "clp", None),
            Err("there is no user “clp” on this machine".to_owned())
        );
        assert_eq!(
            find(users, groups, "root", Some("x")),
            Err("there is no group “x” on this machine".to_owned())
        );
    }
}
