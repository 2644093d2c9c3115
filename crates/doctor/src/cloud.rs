//! At which provider does this host run, and where is the provider's own firewall opened?
//!
//! Providers tell by what the machine says of itself (DMI): `/sys/class/dmi/id`.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// A provider with a firewall of its own before the host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// Amazon Web Services.
    Aws,
    /// Microsoft Azure.
    Azure,
    /// DigitalOcean.
    DigitalOcean,
    /// Google Cloud.
    Google,
    /// Hetzner.
    Hetzner,
    /// Vultr.
    Vultr,
}

impl Cloud {
    /// Returns what people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Azure => "Azure",
            Self::DigitalOcean => "DigitalOcean",
            Self::Google => "Google Cloud",
            Self::Hetzner => "Hetzner",
            Self::Vultr => "Vultr",
        }
    }

    /// Returns where port 80 is opened there: the way through the console, and the command.
    #[must_use]
    pub fn way_to_open(self) -> &'static str {
        match self {
            Self::Aws => {
                "EC2, Instances, the instance, Security, its security group, Edit inbound rules, Add rule: HTTP from \
                 0.0.0.0/0 and ::/0; or: aws ec2 authorize-security-group-ingress --group-id GROUP --protocol tcp \
                 --port 80 --cidr 0.0.0.0/0"
            }
            Self::Azure => {
                "Virtual machines, the machine, Networking, Add inbound port rule: port 80, TCP, any source; or: az vm \
                 open-port --resource-group GROUP --name MACHINE --port 80"
            }
            Self::DigitalOcean => {
                "Networking, Firewalls, the firewall, Inbound Rules: HTTP; or: doctl compute firewall add-rules FIREWALL \
                 --inbound-rules \"protocol:tcp,ports:80,address:0.0.0.0/0,address:::/0\""
            }
            Self::Google => {
                "VPC network, Firewall, Create firewall rule: ingress, 0.0.0.0/0, tcp:80; or: gcloud compute \
                 firewall-rules create allow-http --allow=tcp:80 --source-ranges=0.0.0.0/0"
            }
            Self::Hetzner => {
                "Firewalls, the firewall, Inbound rules: TCP 80 from any IPv4 and any IPv6; or: hcloud firewall add-rule \
                 FIREWALL --direction in --protocol tcp --port 80 --source-ips 0.0.0.0/0 --source-ips ::/0"
            }
            Self::Vultr => {
                "Products, Network, Firewall, the group: HTTP from anywhere, for IPv4 and IPv6; or: vultr-cli firewall \
                 rule create --id GROUP --protocol tcp --port 80 --ip-type v4 --subnet 0.0.0.0 --size 0"
            }
        }
    }
}

/// Reads what the machine says of itself in `dmi`, the folder `/sys/class/dmi/id`.
#[must_use]
pub fn recognise(dmi: &Path) -> Option<Cloud> {
    let says = |file: &str, words: &str| {
        let text = std::fs::read_to_string(dmi.join(file)).unwrap_or_default();
        text.trim().starts_with(words)
    };
    Some(match () {
        () if says("sys_vendor", "Amazon EC2") || says("bios_vendor", "Amazon EC2") => Cloud::Aws,
        () if says("product_name", "Google Compute Engine") => Cloud::Google,
        () if says("chassis_asset_tag", AZURE) => Cloud::Azure,
        () if says("sys_vendor", "DigitalOcean") => Cloud::DigitalOcean,
        () if says("sys_vendor", "Hetzner") => Cloud::Hetzner,
        () if says("sys_vendor", "Vultr") => Cloud::Vultr,
        () => return None,
    })
}

/// What every machine of Azure has on its chassis.
const AZURE: &str = "7783-7084-3265-9085-8269-3286-77";

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test writes what a kernel would show"
)]
mod tests {
    use super::{Cloud, recognise};

    fn check(file: &str, words: &str, cloud: Option<Cloud>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), format!("{words}\n")).unwrap();
        assert_eq!(recognise(folder.path()), cloud, "{words}");
    }

    #[test]
    fn providers_are_known_by_their_machines() {
        check("sys_vendor", "Amazon EC2", Some(Cloud::Aws));
        check("product_name", "Google Compute Engine", Some(Cloud::Google));
        check("chassis_asset_tag", super::AZURE, Some(Cloud::Azure));
        check("sys_vendor", "Microsoft Corporation", None);
        check("sys_vendor", "DigitalOcean", Some(Cloud::DigitalOcean));
        check("sys_vendor", "Hetzner", Some(Cloud::Hetzner));
        check("sys_vendor", "Vultr", Some(Cloud::Vultr));
        check("sys_vendor", "QEMU", None);
        assert_eq!(recognise(std::path::Path::new("/nowhere")), None);
    }
}
