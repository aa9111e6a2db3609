"""The handlers of `Cascade.Examples.Tasks`: they pretend to extract, check, change and load."""

from datetime import datetime, timezone

from pretend import may_fail, work


def extract_data():
    work(1000)
    timestamp = datetime.now(timezone.utc).isoformat()
    return {"records_extracted": 1000, "source": "database", "timestamp": timestamp}


def transform_data(context):
    work(1500)
    may_fail(context, "Simulated transformation failure for testing")
    applied = ["clean", "normalize", "enrich"]
    return {"records_transformed": 1000, "transformations_applied": applied}


def load_data(context):
    work(1000)
    may_fail(context, "Simulated load failure for testing")
    return {"records_loaded": 1000, "destination": "warehouse"}


def send_notification():
    work(500)
    return {"notification_sent": True, "recipients": ["team@example.com"]}


def fetch_api_data():
    work(2000)
    return {"source": "api", "records": 5000}


def fetch_database_data():
    work(2500)
    return {"source": "database", "records": 8000}


def fetch_file_data():
    work(1500)
    return {"source": "files", "records": 3000}


def validate_api_data():
    work(800)
    return {"valid": 4950, "invalid": 50}


def validate_database_data():
    work(1000)
    return {"valid": 7920, "invalid": 80}


def validate_file_data():
    work(600)
    return {"valid": 2970, "invalid": 30}


def transform_customers():
    work(3000)
    return {"customers": 4500}


def transform_transactions():
    work(3500)
    return {"transactions": 12000, "aggregations": 450}


def transform_products():
    work(2000)
    return {"products": 2500, "categories": 80}


def quality_check():
    work(1200)
    return {"quality_score": 98.5, "issues_found": 12}


def compute_metrics():
    work(2000)
    return {"metrics": 150, "kpis": 25}


def generate_reports():
    work(1800)
    return {"reports": 5, "formats": ["pdf", "excel", "html"]}


def load_warehouse():
    work(2500)
    return {"tables": 8, "rows": 15000}


def update_cache():
    work(800)
    return {"keys": 200}


def update_dashboard():
    work(600)
    return {"widgets": 12}


def send_email():
    work(400)
    return {"emails": 3}


def prepare_data():
    work(2000)
    chunks = [{"chunk": number, "size": 10000} for number in (1, 2, 3)]
    return {"total": 30000, "chunks": chunks}


def validate_and_store():
    work(1500)
    return {"validated": 30000, "stored": 29850, "errors": 150}


def send_summary():
    work(500)
    return {"summary_sent": True}


def task_a_flaky(context):
    work(1000)
    may_fail(context, "Random failure - 50% chance")
    return {"task": "a"}


def task_a2_flaky(context):
    work(15000)
    may_fail(context, "Random failure - 50% chance")
    return {"task": "a2"}


def task_b_slow(context):
    """Returns what the steps before it returned."""
    work(15000)
    return {"upstream_data": context["upstream_results"]}
