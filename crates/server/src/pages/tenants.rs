//! The tenants of the instance, as definitions declare them.

use askama::Template;
use millstream_model::view::TenantRow;

use crate::format;
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::parts::{Badge, Equivalent};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct TenantsPage {
    /// The frame.
    pub frame: Frame,
    /// The tenants that the caller sees.
    pub tenants: Vec<TenantRow>,
}

#[derive(Template)]
#[template(path = "tenants.html")]
struct Tenants {
    frame: Frame,
    verdict: String,
    lines: Vec<TenantLine>,
    equivalent: Equivalent,
}

struct TenantLine {
    id: String,
    href: String,
    badge: Badge,
    name: String,
    place: String,
    database: String,
    schedule: String,
}

/// The page.
pub fn tenants(page: TenantsPage) -> Html {
    let on = page.tenants.iter().filter(|row| row.tenant.enabled).count();
    let total = format::plural(page.tenants.len() as u64, "tenant", "tenants");
    Html::render(&Tenants {
        verdict: format!("{total} · {on} on"),
        lines: page.tenants.iter().map(line).collect(),
        equivalent: Equivalent::new()
            .with("This list", "millstream tenant list".to_owned())
            .with("As JSON", "GET /api/v1/tenants".to_owned()),
        frame: page.frame,
    })
}

fn line(row: &TenantRow) -> TenantLine {
    let tenant = &row.tenant;
    let bucket = tenant.s3_bucket.iter().chain(tenant.s3_prefix.iter());
    TenantLine {
        id: row.id.to_string(),
        href: link::now(&row.id),
        badge: Badge::switch(tenant.enabled.into()),
        name: if row.declared {
            tenant.name.clone().unwrap_or_default()
        } else {
            "no longer declared".to_owned()
        },
        place: bucket.cloned().collect::<Vec<_>>().join("/"),
        database: tenant.database_url.clone().or(tenant.schema_name.clone()).unwrap_or_default(),
        schedule: tenant.schedule.clone().unwrap_or_default(),
    }
}
