"""Two AWS accounts on this machine, far enough to run the deployment's commands against them.

It is moto, with what moto lacks for these templates: CloudFormation's change sets, exports and order, App Mesh, and the sharing
of resources between accounts. A green run is a test of the wiring (names, order, exports, accounts, the form of every API
call), and no deployment: nothing runs, nothing is pulled, no permission is asked for, and what needs time on AWS takes none.
"""
