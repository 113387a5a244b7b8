//! What ECS makes of a task definition's `ProxyConfiguration` of type `APPMESH`: rules of the packet filter.
//!
//! On ECS a plugin makes them in the network of the task before its containers start, and these are its rules:
//! <https://github.com/aws/amazon-vpc-cni-plugins/tree/main/plugins/aws-appmesh>.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde_json::Value;

/// What one rule can list, by the filter's module `multiport`. The plugin drops what is more.
const MOST_PORTS: usize = 15;

/// What the task definitions say, by the name of the task's virtual service.
const DEFINED: &str = include_str!("proxy_configurations.json");

/// The properties of CloudFormation's `AWS::ECS::TaskDefinition ProxyConfiguration`, under the same names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProxyConfiguration {
    /// Whose packets are left alone: Envoy's, which would otherwise be its own client.
    pub(crate) ignored_uid: Option<u32>,
    pub(crate) ignored_gid: Option<u32>,
    /// Where Envoy takes what comes from other tasks to one of `app_ports`.
    pub(crate) proxy_ingress_port: Option<u16>,
    pub(crate) app_ports: Vec<u16>,
    /// Where Envoy takes what goes from this task to anywhere else.
    pub(crate) proxy_egress_port: u16,
    pub(crate) egress_ignored_ports: Vec<u16>,
    /// Addresses, or blocks of them.
    pub(crate) egress_ignored_ips: Vec<String>,
}

impl ProxyConfiguration {
    /// The one in the task definition of a virtual service.
    #[track_caller]
    pub(crate) fn of(service: &str) -> Self {
        let definitions: Value = serde_json::from_str(DEFINED).expect("the definitions are JSON");
        Self::from_properties(&definitions[service])
            .unwrap_or_else(|error| panic!("the task definition of {service}: {error}"))
    }

    /// Reads the property as it is in a template, with every reference in it resolved. An error says what is wrong.
    pub(crate) fn from_properties(property: &Value) -> Result<Self, String> {
        if property["Type"] != "APPMESH" {
            return Err(format!("Type: must be `APPMESH`, is {}", property["Type"]));
        }
        let properties = &property["ProxyConfigurationProperties"];
        let listed = properties.as_array().ok_or("ProxyConfigurationProperties: must be a list")?;
        let mut given = BTreeMap::new();
        for pair in listed {
            let (Some(name), Some(value)) = (pair["Name"].as_str(), text(&pair["Value"])) else {
                return Err(format!("{pair}: must be a Name and a Value that are strings"));
            };
            if given.insert(name, value).is_some() {
                return Err(format!("{name}: must be there once"));
            }
        }

        let mut take =
            |name: &'static str| Setting { name, value: given.remove(name).unwrap_or_default() };
        let configuration = Self {
            ignored_uid: take("IgnoredUID").optional()?,
            ignored_gid: take("IgnoredGID").optional()?,
            proxy_ingress_port: take("ProxyIngressPort").optional()?,
            app_ports: take("AppPorts").ports()?,
            proxy_egress_port: take("ProxyEgressPort").required()?,
            egress_ignored_ports: take("EgressIgnoredPorts").ports()?,
            egress_ignored_ips: take("EgressIgnoredIPs").blocks()?,
        };
        if let Some((unknown, _)) = given.first_key_value() {
            return Err(format!("{unknown}: is no property of a proxy configuration"));
        }
        configuration.checked()
    }

    /// The plugin's own conditions.
    fn checked(self) -> Result<Self, String> {
        if self.ignored_uid.is_none() && self.ignored_gid.is_none() {
            return Err("IgnoredUID: must be there, unless IgnoredGID is".to_owned());
        }
        if self.proxy_ingress_port.is_some() == self.app_ports.is_empty() {
            return Err("ProxyIngressPort, AppPorts: must both be there, or neither".to_owned());
        }
        Ok(self)
    }

    /// The rules, as `iptables-restore` takes them.
    pub(crate) fn rules(&self) -> String {
        let ingress = self.proxy_ingress_port.map(|port| self.ingress_rules(port));
        let rules = ["*nat".to_owned()].into_iter().chain(ingress.into_iter().flatten());
        let rules = rules.chain(self.egress_rules()).chain(["COMMIT".to_owned()]);
        rules.map(|rule| rule + "\n").collect()
    }

    /// What comes from other tasks to the app's ports.
    fn ingress_rules(&self, proxy: u16) -> Vec<String> {
        let ports = list(&self.app_ports);
        let redirected =
            format!("-p tcp -m multiport --dports {ports} -j REDIRECT --to-ports {proxy}");
        vec![
            ":APPMESH_INGRESS - [0:0]".to_owned(),
            format!("-A APPMESH_INGRESS {redirected}"),
            "-A PREROUTING -p tcp -m addrtype ! --src-type LOCAL -j APPMESH_INGRESS".to_owned(),
        ]
    }

    /// What this task sends to anywhere else.
    fn egress_rules(&self) -> Vec<String> {
        let (ports, blocks) = (list(&self.egress_ignored_ports), list(&self.egress_ignored_ips));
        let ignored = [
            self.ignored_uid.map(|uid| format!("-m owner --uid-owner {uid}")),
            self.ignored_gid.map(|gid| format!("-m owner --gid-owner {gid}")),
            (!ports.is_empty()).then(|| format!("-p tcp -m multiport --dports {ports}")),
            (!blocks.is_empty()).then(|| format!("-p tcp -d {blocks}")),
        ];
        let mut rules = vec![":APPMESH_EGRESS - [0:0]".to_owned()];
        let ignored = ignored.into_iter().flatten();
        rules.extend(ignored.map(|what| format!("-A APPMESH_EGRESS {what} -j RETURN")));
        let proxy = self.proxy_egress_port;
        rules.push(format!("-A APPMESH_EGRESS -p tcp -j REDIRECT --to-ports {proxy}"));
        rules.push("-A OUTPUT -p tcp -m addrtype ! --dst-type LOCAL -j APPMESH_EGRESS".to_owned());
        rules
    }
}

/// A template may have a number where a string is meant, and CloudFormation makes it one.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join(",")
}

/// One property. One that is left out and one that is empty are the same.
struct Setting {
    name: &'static str,
    value: String,
}

impl Setting {
    fn optional<T: FromStr>(&self) -> Result<Option<T>, String> {
        if self.value.is_empty() { Ok(None) } else { self.required().map(Some) }
    }

    fn required<T: FromStr>(&self) -> Result<T, String> {
        self.value.parse().map_err(|_| self.refuse("a number"))
    }

    fn ports(&self) -> Result<Vec<u16>, String> {
        let port = |item: &str| match item.parse() {
            Ok(0) | Err(_) => None,
            Ok(port) => Some(port),
        };
        let ports: Option<Vec<_>> = self.items().map(port).collect();
        ports
            .filter(|ports| ports.len() <= MOST_PORTS)
            .ok_or_else(|| self.refuse("at most 15 ports, separated by commas"))
    }

    fn blocks(&self) -> Result<Vec<String>, String> {
        let blocks: Vec<_> = self.items().map(str::to_owned).collect();
        let are_blocks = blocks.iter().all(|block| {
            let (address, length) = block.split_once('/').unwrap_or((block, "32"));
            address.parse::<Ipv4Addr>().is_ok() && length.parse().is_ok_and(|bits: u8| bits <= 32)
        });
        if are_blocks {
            Ok(blocks)
        } else {
            Err(self.refuse("IPv4 addresses or blocks, separated by commas"))
        }
    }

    fn items(&self) -> impl Iterator<Item = &str> {
        self.value.split(',').map(str::trim).filter(|_| !self.value.is_empty())
    }

    fn refuse(&self, wanted: &str) -> String {
        format!("{}: must be {wanted}, is `{}`", self.name, self.value)
    }
}

#[test]
fn the_rules_are_those_that_ecs_makes() {
    let configuration = configured(&[
        ("IgnoredUID", "1337"),
        ("ProxyIngressPort", "15000"),
        ("ProxyEgressPort", "15001"),
        ("AppPorts", "4567"),
        ("EgressIgnoredIPs", "169.254.170.2,169.254.169.254"),
    ]);
    let rules = "\
*nat
:APPMESH_INGRESS - [0:0]
-A APPMESH_INGRESS -p tcp -m multiport --dports 4567 -j REDIRECT --to-ports 15000
-A PREROUTING -p tcp -m addrtype ! --src-type LOCAL -j APPMESH_INGRESS
:APPMESH_EGRESS - [0:0]
-A APPMESH_EGRESS -m owner --uid-owner 1337 -j RETURN
-A APPMESH_EGRESS -p tcp -d 169.254.170.2,169.254.169.254 -j RETURN
-A APPMESH_EGRESS -p tcp -j REDIRECT --to-ports 15001
-A OUTPUT -p tcp -m addrtype ! --dst-type LOCAL -j APPMESH_EGRESS
COMMIT
";
    assert_eq!(configuration.unwrap().rules(), rules);
}

#[test]
fn a_task_without_an_ingress_has_rules_for_outgoing_connections_only() {
    let configuration = configured(&[
        ("IgnoredGID", "1338"),
        ("ProxyEgressPort", "15001"),
        ("AppPorts", ""),
        ("EgressIgnoredPorts", "22, 8125"),
    ]);
    let rules = "\
*nat
:APPMESH_EGRESS - [0:0]
-A APPMESH_EGRESS -m owner --gid-owner 1338 -j RETURN
-A APPMESH_EGRESS -p tcp -m multiport --dports 22,8125 -j RETURN
-A APPMESH_EGRESS -p tcp -j REDIRECT --to-ports 15001
-A OUTPUT -p tcp -m addrtype ! --dst-type LOCAL -j APPMESH_EGRESS
COMMIT
";
    assert_eq!(configuration.unwrap().rules(), rules);
}

#[test]
fn a_configuration_that_ecs_would_refuse_is_refused() {
    let sound = [
        ("IgnoredUID", "1337"),
        ("ProxyIngressPort", "15000"),
        ("ProxyEgressPort", "15001"),
        ("AppPorts", "80"),
    ];
    for (name, value, why) in [
        ("IgnoredUID", "", "IgnoredUID: must be there, unless IgnoredGID is"),
        ("IgnoredUID", "envoy", "IgnoredUID: must be a number, is `envoy`"),
        ("ProxyEgressPort", "", "ProxyEgressPort: must be a number, is ``"),
        ("AppPorts", "", "ProxyIngressPort, AppPorts: must both be there, or neither"),
        ("ProxyIngressPort", "", "ProxyIngressPort, AppPorts: must both be there, or neither"),
        (
            "AppPorts",
            "80,http",
            "AppPorts: must be at most 15 ports, separated by commas, is `80,http`",
        ),
        (
            "EgressIgnoredIPs",
            "::1",
            "EgressIgnoredIPs: must be IPv4 addresses or blocks, separated by commas, is `::1`",
        ),
        ("AppPort", "80", "AppPort: is no property of a proxy configuration"),
    ] {
        let others = sound.iter().filter(|(other, _)| *other != name).copied();
        let given: Vec<_> = others.chain([(name, value)]).collect();
        assert_eq!(configured(&given), Err(why.to_owned()));
    }
    assert!(configured(&sound).is_ok());
}

/// The configuration with these properties.
#[cfg(test)]
fn configured(properties: &[(&str, &str)]) -> Result<ProxyConfiguration, String> {
    let pair = |(name, value): &(&str, &str)| serde_json::json!({ "Name": name, "Value": value });
    ProxyConfiguration::from_properties(&serde_json::json!({
        "Type": "APPMESH",
        "ContainerName": "envoy",
        "ProxyConfigurationProperties": properties.iter().map(pair).collect::<Vec<_>>(),
    }))
}
