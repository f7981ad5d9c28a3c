//! `vm net`: rules of a VM's network. They are stored first, and then given to the process that runs.
//!
//! ```text
//! change ─► checked as a whole ─► stored with the next generation ─► the process, before this is answered
//!            somebody else's change came first: again ◄┘
//! ```

use std::collections::BTreeMap;

use banger_api::network::{
    ChangeNetwork, NarrowNetwork, NetRule, RuleAction, RuleSide, VmNetwork as View,
};
use banger_api::vm::NetStack;
use banger_api::{ApiError, ErrorCode, VmId};
use banger_egress::{Enforcer, Grant, Layer, Origin, Rule, SetName};
use banger_ops::policy::{self, Request};
use banger_ops::store_error;
use banger_store::{VmNetwork, VmRecord, vm};

use super::defaults::OWN_STACK;
use super::on_vm::gone;
use super::secrets;
use crate::operations::timestamp;
use crate::{Control, find_vm};

/// Changes of others that come in between, before this one gives up.
const TRIES: usize = 16;

/// Changes what a VM may reach. It holds at once when the VM runs.
///
/// # Errors
/// `not_found`; `invalid_argument` for what is no rule, or cannot be enforced.
pub fn change_network(
    control: &Control,
    reference: &str,
    request: &ChangeNetwork,
) -> Result<View, ApiError> {
    let id = find_vm(control, reference)?.id;
    for _ in 0..TRIES {
        let record = control.read(|db| vm::by_id(db, id))?.ok_or_else(gone)?;
        policy::check_damage(Request::Set, &record)?;
        let changed = changed(control, &record, request)?;
        let (before, network, egress) = (
            record.network.generation,
            changed.network.clone(),
            changed.egress,
        );
        let is_stored = control
            .store()
            .write(move |tx| {
                let Some(mut now) = vm::by_id(tx, id)? else {
                    return Ok(false);
                };
                if now.network.generation != before {
                    return Ok(false);
                }
                now.egress = egress;
                // A start may have changed these meanwhile.
                now.network = VmNetwork {
                    process: now.network.process,
                    address: now.network.address,
                    door: now.network.door,
                    joined: now.network.joined,
                    ..network
                };
                vm::update(tx, &now)
            })
            .map_err(store_error)?;
        if is_stored {
            give_policy(control, id)?;
            if changed.network.secrets != record.network.secrets {
                secrets::give_secrets(control, id)?;
            }
            return Ok(network_view(&changed));
        }
    }
    let message = "the VM's rules are changed by others all the time";
    Err(ApiError::new(ErrorCode::WrongState, message))
}

/// Gives the process of a VM, when one runs, the rules of its record.
pub(super) fn give_policy(control: &Control, id: VmId) -> Result<(), ApiError> {
    let Some(record) = control.read(|db| vm::by_id(db, id))? else {
        return Ok(());
    };
    match &record.network.process {
        Some(net) => control.environment().set_policy(net, record.policy()),
        None => Ok(()),
    }
}

/// A VM's record with the change.
fn changed(
    control: &Control,
    record: &VmRecord,
    request: &ChangeNetwork,
) -> Result<VmRecord, ApiError> {
    let mut new = record.clone();
    let network = &mut new.network;
    if let Some(egress) = request.egress {
        new.egress = egress;
    }
    let until = request.for_s.map(|seconds| {
        let now = u64::try_from(control.now_ms()).unwrap_or_default() / 1000;
        now.saturating_add(seconds)
    });
    let grants = |rules: &[String]| -> Result<Vec<Grant>, ApiError> {
        let grant = |text: &String| {
            Ok(Grant {
                rule: rule(text)?,
                until,
            })
        };
        rules.iter().map(grant).collect()
    };
    let (allow, deny) = (grants(&request.allow)?, grants(&request.deny)?);
    let has = |all: &[Grant], rule: &Rule| all.iter().any(|grant| grant.rule == *rule);
    for text in &request.remove {
        let rule = rule(text)?;
        if !has(&network.allow, &rule) && !has(&network.deny, &rule) {
            let message = format!("VM \"{}\" has no rule \"{rule}\"", record.name);
            return Err(ApiError::new(ErrorCode::NotFound, message)
                .hint(format!("banger vm net rules {} shows all", record.name)));
        }
        network.allow.retain(|grant| grant.rule != rule);
        network.deny.retain(|grant| grant.rule != rule);
    }
    for (list, other, new) in [(0, 1, allow), (1, 0, deny)] {
        let lists = [&mut network.allow, &mut network.deny];
        // The same rule again has another end; the opposite one is meant no more.
        lists[other].retain(|grant| !has(&new, &grant.rule));
        lists[list].retain(|grant| !has(&new, &grant.rule));
        lists[list].extend(new);
    }
    network.sets = sets_of(control, &[&network.allow, &network.deny], &network.sets)?;
    network.generation += 1;
    for name in &request.forget_secrets {
        if network.secrets.iter().all(|one| one.name.as_str() != name) {
            let message = format!("VM \"{}\" uses no secret \"{name}\"", record.name);
            return Err(ApiError::new(ErrorCode::NotFound, message)
                .hint(format!("banger vm show {} names all", record.name)));
        }
        network.secrets.retain(|one| one.name.as_str() != name);
    }
    let uses = secrets::uses_of(&request.secrets)?;
    for one in &uses {
        secrets::put(&mut network.secrets, one.clone());
    }
    check(&new)?;
    secrets::check(control, &new, &uses)?;
    Ok(new)
}

/// A rule from its text.
fn rule(text: &str) -> Result<Rule, ApiError> {
    text.parse().map_err(|error| {
        let message = format!("rule \"{text}\": {error}");
        ApiError::new(ErrorCode::InvalidArgument, message)
            .hint("a rule is [PROTOCOL:]TARGET[:PORTS], like github.com:443 or host:5432")
    })
}

/// The sets that rules name: those that are known as they were read, the others read now.
fn sets_of(
    control: &Control,
    rules: &[&[Grant]],
    known: &BTreeMap<SetName, Vec<Rule>>,
) -> Result<BTreeMap<SetName, Vec<Rule>>, ApiError> {
    let rules = rules.iter().copied().flatten().map(|grant| &grant.rule);
    banger_egress::named_sets(rules, |set| match known.get(&set) {
        Some(rules) => Ok(rules.clone()),
        None => control.environment().rules_of(set),
    })
}

/// Rules of a new VM, which are not checked yet.
///
/// # Errors
/// `invalid_argument`: a text is no rule.
pub(super) fn of_new(
    control: &Control,
    stack: NetStack,
    allow: &[String],
    deny: &[String],
    narrow: Option<&NarrowNetwork>,
) -> Result<VmNetwork, ApiError> {
    let grants = |rules: &[String]| -> Result<Vec<Grant>, ApiError> {
        rules
            .iter()
            .map(|text| Ok(Grant::always(rule(text)?)))
            .collect()
    };
    let mut network = VmNetwork {
        stack,
        generation: 1,
        allow: grants(allow)?,
        deny: grants(deny)?,
        ..VmNetwork::default()
    };
    network.sets = sets_of(control, &[&network.allow, &network.deny], &BTreeMap::new())?;
    if let Some(narrow) = narrow {
        if stack == NetStack::Slirp {
            let message = "the repository narrows the network, which QEMU's own network cannot hold a guest to";
            return Err(ApiError::new(ErrorCode::InvalidArgument, message)
                .hint("stack = \"own\" below [network] in config.toml gives new VMs a network that can; --no-devcontainer leaves its wishes out"));
        }
        let (allow, deny) = (grants(&narrow.allow)?, grants(&narrow.deny)?);
        network.narrowed = vec![Layer {
            origin: Origin::Repository,
            egress: narrow.egress,
            sets: sets_of(control, &[&allow, &deny], &BTreeMap::new())?,
            allow,
            deny,
        }];
    }
    Ok(network)
}

/// Refuses what cannot be enforced, when it is set.
///
/// # Errors
/// `invalid_argument`: the stack cannot hold a guest to the record's rules.
pub(super) fn check(record: &VmRecord) -> Result<(), ApiError> {
    let (stack, policy) = (record.network.stack, record.policy());
    let invalid = |message: String| ApiError::new(ErrorCode::InvalidArgument, message);
    policy
        .check_limits()
        .map_err(|error| invalid(error.to_string()))?;
    let enforcer = match stack {
        NetStack::Own => Enforcer::Process,
        NetStack::Slirp => Enforcer::Slirp,
    };
    match policy.check(enforcer).first() {
        None => Ok(()),
        Some(found) if stack == NetStack::Slirp => Err(invalid(found.to_string()).hint(OWN_STACK)),
        Some(found) => Err(invalid(found.to_string()).hint(found.cause.way())),
    }
}

/// Refuses a network of VMs to a VM that cannot be in one.
///
/// # Errors
/// `invalid_argument`: no process of its own carries its packets.
pub(super) fn check_joined(record: &VmRecord) -> Result<(), ApiError> {
    let Some(joined) = record
        .network
        .joined
        .as_ref()
        .filter(|_| !record.has_net_process())
    else {
        return Ok(());
    };
    let message = format!(
        "VM \"{}\" cannot be in network \"{joined}\": its network is not banger's own",
        record.name
    );
    Err(ApiError::new(ErrorCode::InvalidArgument, message)
        .hint(format!("--net takes user and none, too; {OWN_STACK}")))
}

/// The network of a record, without its process.
pub fn network_view(record: &VmRecord) -> View {
    View {
        id: record.id,
        name: record.name.clone(),
        stack: record.network.stack,
        egress: record.egress,
        rules: rules_of(record),
        secrets: secrets_of(record),
        generation: record.network.generation,
        process: None,
    }
}

/// The secrets of a record, as users see them.
pub(super) fn secrets_of(record: &VmRecord) -> Vec<String> {
    let secrets = record.network.secrets.iter();
    secrets.map(ToString::to_string).collect()
}

/// The rules of a record, as users see them.
pub(super) fn rules_of(record: &VmRecord) -> Vec<NetRule> {
    let policy = record.policy();
    let rules = policy.layers.iter().flat_map(|layer| {
        let allow = layer
            .allow
            .iter()
            .map(|grant| view(layer, RuleAction::Allow, grant));
        allow.chain(
            layer
                .deny
                .iter()
                .map(|grant| view(layer, RuleAction::Deny, grant)),
        )
    });
    rules.collect()
}

fn view(layer: &Layer, action: RuleAction, grant: &Grant) -> NetRule {
    let ms = |seconds: u64| i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
    NetRule {
        action,
        rule: grant.rule.to_string(),
        until: grant.until.map(|until| timestamp(ms(until))),
        by: match layer.origin {
            Origin::User => RuleSide::User,
            Origin::Repository => RuleSide::Repository,
        },
    }
}
