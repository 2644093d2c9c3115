//! What does another program of this host list?
//!
//! For whoever reads what only such a program can tell, such as the rules of a firewall. Nothing is changed by it.

use std::path::Path;
use std::time::Duration;

use crate::command;

/// Returns what a program prints that ends well; `None` when it is not there, fails, or takes longer than `limit`.
pub async fn listing(program: &Path, arguments: &[&str], limit: Duration) -> Option<String> {
    let output = command::list(program, arguments, limit).await.ok()?;
    output.success.then_some(output.said)
}

#[cfg(test)]
mod tests {
    use super::listing;
    use std::path::Path;
    use std::time::Duration;

    #[tokio::test]
    async fn all_of_a_long_list_is_kept_and_a_failure_is_none() {
        let list = async |line: &str, limit| {
            listing(
                Path::new("/bin/sh"),
                &["-c", line],
                Duration::from_millis(limit),
            )
            .await
        };
        let long = list("head -c 1000000 /dev/zero | tr '\\0' x", 60_000).await;
        assert_eq!(long.map(|text| text.len()), Some(1_000_000));
        assert_eq!(list("echo no; exit 1", 60_000).await, None);
        assert_eq!(list("exec sleep 60", 100).await, None);
        assert_eq!(
            listing(Path::new("/nowhere"), &[], Duration::from_secs(60)).await,
            None
        );
    }
}
