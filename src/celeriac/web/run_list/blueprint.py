"""The blueprint that all views of the list of runs are on."""

from flask import Blueprint

run_list = Blueprint("run_list", __name__)
