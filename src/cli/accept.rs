//! `accept`: the live value becomes the desired one.

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{Span, Timestamp, Zoned, civil, fmt::temporal::Pieces, tz::TimeZone};

use super::{
    Error, Exit,
    cluster::{ClusterArgs, Noun, UserCluster},
    decide::{self, Annotations, DecideArgs, DecisionKind, DecisionRequest, SHOWN_VALUE},
    drift::DriftView,
    placement::{self, Placement},
    select::{SIDE_BY_SIDE, SelectArgs},
};
use crate::api::annotations;

/// The word in place of a time for an acceptance without an end.
pub(super) const NEVER: &str = "never";

/// The number of drifts up to which the records are read for the question.
const READ: usize = 100;

/// The flags of `accept`.
#[derive(Clone, Debug, Args)]
pub(super) struct AcceptArgs {
    #[command(flatten)]
    select: SelectArgs,

    /// End of the acceptance, also of one that stands: a duration (7d, 12h), a date (2026-12-24: the start
    /// of that day, local time), a time (2026-12-24T12:00:00Z) or `never`
    #[arg(long, value_name = "TIME", value_parser = end)]
    until: Option<AcceptanceEnd>,

    /// The reason, for the history
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,

    /// Accept only this live value, as `show` prints it [default: the value that the drift shows]
    #[arg(long, value_name = "VALUE")]
    value: Option<String>,

    #[command(flatten)]
    decide: DecideArgs,
}

/// The end of an acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcceptanceEnd {
    At(Timestamp),
    Never,
}

impl AcceptanceEnd {
    /// The value of its annotation.
    fn annotation(self) -> Option<String> {
        match self {
            Self::At(time) => Some(time.to_string()),
            Self::Never => None,
        }
    }

    /// The effect on an acceptance that stands.
    fn effect(self) -> String {
        match self {
            Self::At(time) => format!("The acceptance stands until {time}. The accepted value stays."),
            Self::Never => {
                "The acceptance stands without an end. If the policy of the record is InPlace, the accepted value moves \
                 to the record."
                    .to_owned()
            }
        }
    }
}

pub(super) async fn run(cluster: &ClusterArgs, args: &AcceptArgs) -> Result<Exit, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    let mut drifts = args.select.read(&cluster, Some(decide::OPEN)).await?;
    if drifts.is_empty() && args.until.is_some() {
        drifts = args.select.read(&cluster, None).await?;
        drifts.retain(DriftView::stands);
    }
    if let Some(until) = args.until.filter(|_| args.value.is_none() && drifts.iter().any(DriftView::stands)) {
        return move_end(&cluster, args, drifts, until).await;
    }
    let (mut drifts, mut exit) = decide::open_ones(&cluster, drifts)?;
    decide::refuse(&mut drifts, &mut exit, |drift| other_value(drift, args.value.as_deref()));
    let mut annotations = decide::accepting(args.value.as_deref().unwrap_or(SHOWN_VALUE));
    let until = args.until.and_then(AcceptanceEnd::annotation);
    let has_end = until.is_some();
    annotations.insert(annotations::ACCEPT_UNTIL, until);
    annotations.insert(annotations::BECAUSE, args.because.clone());
    let input = args.select.input();
    let has_question = args.decide.has_question() && drifts.len() <= READ;
    let placements = if has_question { placements(&cluster, &drifts, has_end).await? } else { Vec::new() };
    let effect = (!placements.is_empty()).then(|| placement::summary(&placements));
    DecisionRequest { verb: DecisionKind::Accept, annotations, drifts, input, effect, exit }
        .carry_out(&cluster, &args.decide)
        .await
}

/// The reason to refuse `--value true` on a drift with another live value. In the annotation, `true` means the value
/// that the drift shows.
fn other_value(drift: &DriftView, value: Option<&str>) -> Option<String> {
    let is_other = value == Some(SHOWN_VALUE) && drift.actual != SHOWN_VALUE;
    is_other.then(|| format!("its live value is {}, not {SHOWN_VALUE}; omit --value to accept it", drift.actual_short))
}

/// Changes the end of acceptances that stand.
async fn move_end(
    cluster: &UserCluster,
    args: &AcceptArgs,
    drifts: Vec<DriftView>,
    until: AcceptanceEnd,
) -> Result<Exit, Error> {
    if let Some(open) = drifts.iter().find(|drift| drift.is_open()) {
        return Err(Error::usage(format!(
            "the acceptances of some of these drifts stand already, and {} is open; change the end of acceptances in a \
             separate command",
            open.name
        )));
    }
    let (mut drifts, ended): (Vec<_>, Vec<_>) = drifts.into_iter().partition(DriftView::stands);
    decide::report_resolved(cluster, &ended);
    let mut exit = if ended.is_empty() { Exit::Done } else { Exit::No };
    decide::refuse(&mut drifts, &mut exit, |drift| {
        let why = "its acceptance is being withdrawn; decide the drift that opens next";
        (!drift.has_accept).then(|| why.to_owned())
    });
    let mut annotations = Annotations::from([(annotations::ACCEPT_UNTIL, until.annotation())]);
    if args.because.is_some() {
        annotations.insert(annotations::BECAUSE, args.because.clone());
    }
    let input = args.select.input();
    let effect = Some(until.effect());
    DecisionRequest { verb: DecisionKind::Accept, annotations, drifts, input, effect, exit }
        .carry_out(cluster, &args.decide)
        .await
}

/// The places of the accepted values.
async fn placements(cluster: &UserCluster, drifts: &[DriftView], has_end: bool) -> Result<Vec<Placement>, Error> {
    let reads = drifts.iter().map(|drift| async move {
        let record = cluster.find(Noun::Record, &drift.namespace, &drift.record).await?;
        Ok::<_, Error>(record.and_then(|record| Placement::of(&record, &drift.field_name, has_end)))
    });
    let placements: Vec<_> = stream::iter(reads).buffered(SIDE_BY_SIDE).try_collect().await?;
    Ok(placements.into_iter().flatten().collect())
}

/// A time in the future, or none.
fn end(text: &str) -> Result<AcceptanceEnd, String> {
    if text == NEVER {
        return Ok(AcceptanceEnd::Never);
    }
    until_from(text, &Zoned::now()).map(AcceptanceEnd::At)
}

fn until_from(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    let of_span = || text.parse::<Span>().ok().and_then(|span| now.checked_add(span).ok()).map(|time| time.timestamp());
    let of_date = || {
        let date: civil::Date = text.parse().ok()?;
        date.to_zoned(now.time_zone().clone()).ok().map(|time| time.timestamp())
    };
    let of_time = || text.parse::<Timestamp>().ok();
    let is_date = text.len() == "2026-12-24".len();
    let time = of_time().or_else(|| is_date.then(of_date).flatten()).or_else(of_span);
    let is_too_late = || text.parse::<Span>().is_ok() || is_date && Pieces::parse(text).is_ok();
    let time = time.ok_or_else(|| {
        if is_too_late() {
            "is too far in the future; for an acceptance without an end, use never"
        } else {
            "must be a duration such as 7d, a date such as 2026-12-24, a time such as 2026-12-24T12:00:00Z, or never"
        }
    })?;
    if time <= now.timestamp() {
        return Err(format!("{} is past", time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC")));
    }
    // Whole seconds, as in Kubernetes' own times.
    Timestamp::from_second(time.as_second()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::drift::tests::view;

    #[test]
    fn the_value_true_is_not_the_value_that_a_drift_shows() {
        let of = |actual: &str, value| {
            let spec = json!({ "spec": { "expected": "true", "actual": actual, "actualShort": actual } });
            other_value(&view("web-1", &spec), value)
        };
        assert_eq!(
            of("false", Some("true")).as_deref(),
            Some("its live value is false, not true; omit --value to accept it")
        );
        assert_eq!(of("true", Some("true")), None);
        // The operator compares other values itself.
        assert_eq!(of("true", Some("false")), None);
        assert_eq!(of("false", None), None);
    }

    #[test]
    fn an_acceptance_ends_after_a_duration_or_at_a_time() {
        let now: Zoned = "2026-05-10T12:00:00[UTC]".parse().unwrap();
        for (text, wanted) in [
            ("7d", "2026-05-17T12:00:00Z"),
            ("12h", "2026-05-11T00:00:00Z"),
            ("1mo", "2026-06-10T12:00:00Z"),
            ("2026-12-24", "2026-12-24T00:00:00Z"),
            ("2026-12-24T12:00:00Z", "2026-12-24T12:00:00Z"),
            ("2026-12-24T12:00:00.5+01:00", "2026-12-24T11:00:00Z"),
        ] {
            assert_eq!(until_from(text, &now).unwrap().to_string(), wanted, "{text}");
        }
        assert_eq!(end("never"), Ok(AcceptanceEnd::Never));
        for text in ["", "soon", "2026-05-09", "-1d", "2020-01-01T00:00:00Z"] {
            assert!(until_from(text, &now).is_err(), "{text}");
        }
        for text in ["9999-12-31", "2920000d", "7300000d"] {
            assert!(until_from(text, &now).unwrap_err().contains("use never"), "{text}");
        }
    }
}
