//! Circles among files, and among the entries of each folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
};

use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};

use crate::source::{Source, Target};

/// Files or folders that import each other in a loop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Circle {
    members: Vec<String>,
    /// From, to, and the names that the first imports from the second.
    ties: Vec<(String, String, BTreeSet<String>)>,
}

impl Display for Circle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "circle of {}", self.members.join(", "))?;
        for (from, to, names) in &self.ties {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            writeln!(f, "  {from} -> {to}: {}", names.join(", "))?;
        }
        Ok(())
    }
}

/// The circles of files, then those of the entries of each folder.
pub(crate) fn circles(source: &Source) -> Vec<Circle> {
    let mut ties = Vec::new();
    for (from, targets) in source.references() {
        for target in targets {
            if let Target::Here { file, item } = target {
                ties.push((from.clone(), file, item));
            }
        }
    }
    let mut found = among(&ties, &|file| Some(file.to_owned()));
    let folders: BTreeSet<String> = ties
        .iter()
        .flat_map(|(from, ..)| from.match_indices('/').map(|(end, _)| from[..=end].to_owned()))
        .chain([String::new()])
        .collect();
    for folder in folders {
        found.extend(among(&ties, &|file| entry(&folder, file)));
    }
    found
}

/// The entry of a folder that contains a file: a module's file and the folder of its children are one entry.
fn entry(folder: &str, file: &str) -> Option<String> {
    let name = file.strip_prefix(folder)?.split('/').next()?;
    Some(format!("{folder}{}", name.strip_suffix(".rs").unwrap_or(name)))
}

fn among(ties: &[(String, String, String)], place: &dyn Fn(&str) -> Option<String>) -> Vec<Circle> {
    let mut names = BTreeMap::<(String, String), BTreeSet<String>>::new();
    for (from, to, item) in ties {
        if let (Some(from), Some(to)) = (place(from), place(to))
            && from != to
        {
            names.entry((from, to)).or_default().insert(item.clone());
        }
    }
    let edges = names.keys().map(|(from, to)| (from.as_str(), to.as_str()));
    let graph: DiGraphMap<&str, ()> = DiGraphMap::from_edges(edges);
    let loops = tarjan_scc(&graph).into_iter().filter(|members| members.len() > 1);
    let circle = |members: Vec<&str>| Circle {
        ties: names
            .iter()
            .filter(|((from, to), _)| members.contains(&from.as_str()) && members.contains(&to.as_str()))
            .map(|((from, to), names)| (from.clone(), to.clone(), names.clone()))
            .collect(),
        members: members.into_iter().map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect(),
    };
    loops.map(circle).collect()
}
