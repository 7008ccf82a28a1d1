"""Rules for every resource of a stack, for Pulumi's command line and for the tests."""
