"""The handlers of `ReusableTasks.DataPipeline`: each reads what the step before it returned."""

from datetime import date

from pretend import work


def fetch_from_api(trigger):
    work(1000)
    return {"records": 500, "source": trigger.get("api_url", "https://api.example.com/data")}


def validate_data(upstream_results):
    work(500)
    return {"valid_records": upstream_results["fetch"]["records"]}


def save_to_warehouse(upstream_results):
    work(800)
    return {
        "records_inserted": upstream_results["validate"]["valid_records"],
        "table": "analytics.raw_data",
        "partition": date.today().isoformat(),
    }
