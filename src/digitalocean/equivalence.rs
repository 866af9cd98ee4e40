//! What the cloud writes in more than one way, and how each way is levelled before values are compared.

/// One way in which a value can be written differently and mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Equivalence {
    /// Letter case means nothing.
    Case,
    /// White space around the text means nothing.
    Trimmed,
    /// Tags: letter case means nothing, and the cloud adds some by itself.
    Tags,
    /// An image by slug or by id; a slug can move to a newer image or be lost.
    Image,
    /// IP addresses and CIDRs, in any spelling, with or without `ip:` or `cidr:`.
    Address,
    /// An address that the cloud assigns, maybe later.
    Assigned,
    /// A firewall rule: `0`, `all` and nothing are all ports; ICMP has none.
    FirewallRule,
    /// A version, at the precision asked for.
    Version,
    /// A cluster's version; auto-upgrade moves its patch level.
    ClusterVersion,
    /// `13:00` is `13:00:00`.
    Hour,
    /// A node pool; the autoscaler sets its count.
    NodePool,
    /// A record's name: `@`, the domain, with or without trailing dot.
    RecordName,
    /// A record's data; host names as in names.
    RecordData,
    /// An app's spec: types and scopes of variables have defaults, secrets come back encrypted.
    AppSpec,
    /// A certificate's id, which renewal changes.
    Certificate,
    /// A certificate's names, which are blank for uploaded ones.
    CertificateNames,
}

impl Equivalence {
    /// In words, for the reference of kinds.
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::Case => "letter case",
            Self::Trimmed => "white space around it",
            Self::Tags => {
                "letter case; tags that the cloud adds (`k8s`, `k8s:*`, `terraform:*`) count only if recorded"
            }
            Self::Image => "slug or id; a slug that moved on or was lost",
            Self::Address => "spelling of addresses and ranges",
            Self::Assigned => "spelling; nothing recorded matches any address, since it is assigned later",
            Self::FirewallRule => "ports `0`, `all` and none; ICMP has no ports; spelling of addresses",
            Self::Version => "precision: `16` matches `16.2`, `latest` anything",
            Self::ClusterVersion => "precision: `1.30` matches `1.30.4-do.0`; newer patches under auto-upgrade",
            Self::Hour => "`13:00` and `13:00:00`",
            Self::NodePool => "counts of autoscaled pools are not compared",
            Self::RecordName => "`@`, the domain itself, full names and trailing dots",
            Self::RecordData => "as names where it is a host name; spelling where it is an address",
            Self::AppSpec => "defaults of variables (`type`, `scope`); encrypted secrets are not compared",
            Self::Certificate => "ids of renewed certificates: unknown rather than drift",
            Self::CertificateNames => "blank for uploaded certificates: unknown rather than drift",
        }
    }
}
