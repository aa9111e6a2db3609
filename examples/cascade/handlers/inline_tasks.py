"""The handlers of `InlineTasks`: the weather of a city, and what to say about it."""

from pretend import work


def fetch_weather_data(trigger):
    work(500)
    city = trigger.get("city", "San Francisco")
    return {"city": city, "temperature": 72, "conditions": "Sunny"}


def analyze_weather(upstream_results):
    temperature = upstream_results["fetch_weather"]["temperature"]
    return {"temperature": temperature, "comfort_level": comfort(temperature)}


def comfort(temperature):
    """How a temperature in degrees Fahrenheit feels."""
    if temperature > 85:
        return "Hot"
    return "Comfortable" if temperature > 65 else "Cold"


def send_notification(upstream_results):
    weather, analysis = upstream_results["fetch_weather"], upstream_results["analyze_weather"]
    preview = (
        f"{weather['city']}: {weather['temperature']}°F, {weather['conditions']}"
        f" ({analysis['comfort_level']})"
    )
    return {"message_preview": preview}


def log_to_database(context):
    work(300)
    return {"record_id": context["run"]["id"]}
