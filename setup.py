"""Packages of the wheel; everything else stands in pyproject.toml, which cannot name a package outside of translate/."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["translate*"]), "translate.configs"],
    package_dir={"translate.configs": "configs"},
    package_data={"translate": ["py.typed"], "translate.configs": ["**/*.yaml"]},
)
