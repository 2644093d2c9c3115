//! Measures a look with nothing changed: `cargo run --release -p nginx --example look_lineages [SITES]`.

#![expect(clippy::print_stdout, reason = "a measurement for people")]
#![expect(clippy::disallowed_methods, reason = "writes scratch files")]

use std::error::Error;
use std::fs;

use nginx::{NginxHost, Settings};
use renewal::ports::{Host as _, Known};
use testkit::certificate::{Authority, Days};
use testkit::lineage;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let sites: usize = std::env::args()
        .nth(1)
        .map_or(Ok(10_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let letsencrypt = folder.path().join("letsencrypt");
    let vhosts = folder.path().join("sites-enabled");
    fs::create_dir(&vhosts)?;
    let config = folder.path().join("nginx.conf");
    fs::write(
        &config,
        "events { }\nhttp { include sites-enabled/*.conf; }\n",
    )?;
    let authority = Authority::new("Practice");
    for number in 0..sites {
        let domain = format!("site-{number}.test");
        let pair = authority.issue(&[&domain], Days::left(60));
        let live = lineage::write(&letsencrypt, &domain, 1, &pair);
        let live = live.display();
        let vhost = format!(
            "server {{\n    listen 80;\n    listen 443 ssl;\n    server_name {domain};\n    root /home/{domain};\n    ssl_certificate {live}/fullchain.pem;\n    ssl_certificate_key {live}/privkey.pem;\n}}\n"
        );
        fs::write(vhosts.join(format!("{domain}.conf")), vhost)?;
    }
    let host = NginxHost::new(Settings {
        config,
        prefix: Some(folder.path().to_owned()),
        letsencrypt,
        state: folder.path().join("state"),
        ..Settings::default()
    });
    let known: Known = host.look(&Known::new()).await?.read.into_iter().collect();
    for _ in 0..5 {
        let before = cpu_ms()?;
        let look = host.look(&known).await?;
        let spent = cpu_ms()? - before;
        assert!(look.read.is_empty(), "nothing has changed");
        println!("{} sites: {spent:.1} ms of CPU", look.sites.len());
    }
    Ok(())
}

/// Returns the time that this thread spent on a CPU (proc(5), `schedstat`).
fn cpu_ms() -> Result<f64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e6)
}
