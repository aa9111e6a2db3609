//! Finding circles among things that come one after the other.
//!
//! Iterative: ten thousand nodes in a row need no deep stack.

/// The circles reported of one graph.
const CIRCLES_MAX: usize = 5;

/// The names shown of one circle.
const NAMES_MAX: usize = 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    Not,
    OnPath,
    Done,
}

/// Up to five circles in the graph where `after[i]` lists what comes after node `i`.
///
/// A circle lists its nodes in order; the last comes before the first again.
pub fn circles(after: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut visits = vec![Visit::Not; after.len()];
    let mut found = Vec::new();
    for root in 0..after.len() {
        if visits.get(root) == Some(&Visit::Not) {
            walk(root, after, &mut visits, &mut found);
        }
        if found.len() >= CIRCLES_MAX {
            break;
        }
    }
    found
}

fn walk(root: usize, after: &[Vec<usize>], visits: &mut [Visit], found: &mut Vec<Vec<usize>>) {
    let mut path = vec![(root, 0)];
    mark(visits, root, Visit::OnPath);
    while let Some((node, place)) = path.last_mut() {
        let next = after.get(*node).and_then(|list| list.get(*place)).copied();
        *place += 1;
        let Some(next) = next else {
            mark(visits, *node, Visit::Done);
            path.pop();
            continue;
        };
        match visits.get(next) {
            Some(Visit::Not) => {
                mark(visits, next, Visit::OnPath);
                path.push((next, 0));
            }
            Some(Visit::OnPath) if found.len() < CIRCLES_MAX => {
                let nodes = path.iter().map(|(node, _)| *node);
                found.push(nodes.skip_while(|node| *node != next).collect());
            }
            Some(Visit::OnPath | Visit::Done) | None => {}
        }
    }
}

fn mark(visits: &mut [Visit], node: usize, visit: Visit) {
    if let Some(slot) = visits.get_mut(node) {
        *slot = visit;
    }
}

/// `a → b → a` for a circle of names; a long one is cut in the middle.
pub fn path_text(names: &[&str]) -> String {
    let (shown, rest) = names.split_at(names.len().min(NAMES_MAX));
    let mut path = shown.to_vec();
    let more = format!("({} more)", rest.len());
    if !rest.is_empty() {
        path.push(&more);
    }
    path.extend(names.first());
    path.join(" → ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_chain_has_no_circle_and_its_closed_form_has_one() {
        let mut after: Vec<Vec<usize>> = (1..=50_000).map(|next| vec![next]).collect();
        after.push(Vec::new());
        assert!(circles(&after).is_empty());
        after.last_mut().unwrap().push(49_999);
        assert_eq!(circles(&after), [vec![49_999, 50_000]]);
    }

    #[test]
    fn a_long_circle_is_cut_in_the_middle() {
        assert_eq!(path_text(&["a", "b"]), "a → b → a");
        assert!(path_text(&vec!["x"; 10_000]).ends_with("x → (9980 more) → x"));
    }

    #[test]
    fn circles_apart_from_each_other_are_all_found() {
        let after = vec![vec![1], vec![0], vec![2], vec![]];
        assert_eq!(circles(&after), [vec![0, 1], vec![2]]);
    }
}
