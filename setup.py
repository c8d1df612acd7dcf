"""Packages of the wheel. pyproject.toml has the rest, but cannot name a package that lies outside of translate/."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["translate*"]), "translate.configs"],
    package_dir={"translate.configs": "configs"},
    package_data={
        "translate": ["py.typed", "templates/*.jinja", "serving/page/*"],
        "translate.configs": ["**/*.yaml"],
    },
)
