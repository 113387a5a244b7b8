# Stands in for the original's app server, in tests. It is written from the original's recorded behaviour
# (yelb-appserver/tests/contract): routes, answers, headers, statements, environment. It also has the original's defects. It
# opens a session with the database for each query, and does not close it after a failure. It reads a count after it has written
# it. `OPTIONS` fails. It ignores `Idempotency-Key`.

require 'pg'
require 'redis'
require 'sinatra'
require 'socket'

# A proxy in front of it changes Host and Origin.
disable :protection

DATABASE_HOST, REDIS_HOST =
  case settings.environment
  when :development then %w[localhost localhost]
  when :custom then [ENV.fetch('YELB_DB_SERVER_ENDPOINT'), ENV.fetch('REDIS_SERVER_ENDPOINT')]
  else %w[yelb-db redis-server]
  end

# The original's ports are fixed. Tests need other ports, so they set two variables that forks of the original have.
DATABASE = {
  host: DATABASE_HOST,
  port: ENV.fetch('YELB_DB_SERVER_PORT', 5432),
  dbname: 'yelbdatabase',
  user: 'postgres',
  password: 'postgres_password'
}.freeze
REDIS = { host: REDIS_HOST, port: ENV.fetch('REDIS_SERVER_PORT', 6379).to_i }.freeze

def query(statement, restaurant)
  session = PG.connect(DATABASE)
  session.prepare('statement1', statement)
  result = session.exec_prepared('statement1', [restaurant])
  session.close
  result
end

def count(restaurant)
  query('SELECT count FROM restaurants WHERE name = $1', restaurant).getvalue(0, 0)
end

def view
  redis = Redis.new(**REDIS)
  redis.incr('pageviews')
  views = redis.get('pageviews')
  redis.quit
  views
end

def allow_other_origins
  headers 'Access-Control-Allow-Origin' => '*',
          'Access-Control-Allow-Headers' => 'Authorization,Accepts,Content-Type,X-CSRF-Token,X-Requested-With',
          'Access-Control-Allow-Methods' => 'GET,POST,PUT,DELETE,OPTIONS'
end

get '/api/pageviews' do
  allow_other_origins
  content_type 'application/json'
  view
end

get '/api/hostname' do
  allow_other_origins
  content_type 'application/json'
  Socket.gethostname
end

get '/api/getstats' do
  allow_other_origins
  content_type 'application/json'
  %({"hostname": "#{Socket.gethostname}", "pageviews":#{view}})
end

get '/api/getvotes' do
  allow_other_origins
  content_type 'application/json'
  outback, bucadibeppo, ihop, chipotle =
    %w[outback bucadibeppo ihop chipotle].map { |name| %({"name": "#{name}", "value": #{count(name)}}) }
  "[#{outback},#{bucadibeppo},#{ihop}, #{chipotle}]"
end

%w[outback bucadibeppo ihop chipotle].each do |restaurant|
  get "/api/#{restaurant}" do
    allow_other_origins
    query('UPDATE restaurants SET count = count +1 WHERE name = $1', restaurant)
    count(restaurant)
  end
end

options '*' do
  headers 'Allow' => 'HEAD,GET,PUT,DELETE,OPTIONS',
          'Access-Control-Allow-Headers' => 'X-Requested-With, X-HTTP-Method-Override, Content-Type, Cache-Control, Accept'
  raise NameError, 'the original uses a constant here that is not defined'
end
